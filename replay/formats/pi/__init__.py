"""Session files of pi, read and written."""
