"""Authentication: `token` checks token and login cookie, `login` gives and deletes the cookie."""
