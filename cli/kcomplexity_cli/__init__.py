"""The ``kcomplexity`` command: one file a subcommand: parse, call the library, print."""
