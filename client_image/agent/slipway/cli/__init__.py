"""The command line: arguments in, views of records and results out. Nothing else exits."""
