"""The tables of a log in SQLite: rows of sessions, events and updates, and the checks of what is stored."""
