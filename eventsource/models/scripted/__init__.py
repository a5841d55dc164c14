"""Models that say what a script tells them to."""
