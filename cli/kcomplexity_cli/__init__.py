"""The ``kcomplexity`` command: one file per subcommand, each of them parse, call the library, print."""
