"""The `lakegate` command. Turns arguments into calls of the core and outcomes into text, JSON and exit codes."""
