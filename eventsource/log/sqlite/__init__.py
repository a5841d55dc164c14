"""The log in an SQLite database: the file, its locks, its thread, and group commit."""
