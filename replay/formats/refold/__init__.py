"""Refold's own session files, read and written."""
