"""Live messages: `changes` reads, `broadcaster` hands out, `websocket` sends them."""
