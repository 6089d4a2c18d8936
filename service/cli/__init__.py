"""The command line. A stage is imported by its own sub-command alone."""
