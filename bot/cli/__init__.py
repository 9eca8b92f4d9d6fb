"""The commands: parse, call, exit code. Nothing is decided here."""
