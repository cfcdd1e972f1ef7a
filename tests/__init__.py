"""The tests: one module a module of the package, and the plain definitions they compare with."""
