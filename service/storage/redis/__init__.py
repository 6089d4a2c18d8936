"""Connections, keys, codec and the embedded servers."""
