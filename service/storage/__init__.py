"""Redis and files: the bus, the store, pictures."""
