"""The page as one file: a session with what the server would answer about it, opened without a server."""
