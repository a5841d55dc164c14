"""Benchmarks: Refold against the floor, which is raw `sqlite3` doing the same work, measured in the same run."""
