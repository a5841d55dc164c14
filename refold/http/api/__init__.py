"""The interface over HTTP: sessions as resources, live streams, and links that answer a wait."""
