"""Authentication: token, cookie, login, same-origin check."""
