"""The bus: bounded streams that a crash may lose."""
