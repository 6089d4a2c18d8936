"""The store: what is never lost once acknowledged."""
