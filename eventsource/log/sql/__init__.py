"""What the logs in SQL databases share: rows of sessions, events and updates, and the checks of what is stored."""
