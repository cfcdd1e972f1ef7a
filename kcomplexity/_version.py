"""The version: its one home, read by the package, the build and the provenance of a report."""

__version__ = "0.1.0"
