"""One log in a PostgreSQL database, which processes on many machines use at the same time."""
