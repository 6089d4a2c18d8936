"""One camera's decoder process, and its parent's side of it."""
