"""`make chaos`: cameras, workers and servers are broken on purpose, over and over, and everything is counted."""
