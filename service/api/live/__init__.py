"""The WebSocket and what feeds it."""
