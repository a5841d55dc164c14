"""The one transport of all protocols: HTTP, streams of events, retries, and failures as data."""
