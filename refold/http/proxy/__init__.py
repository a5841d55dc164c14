"""A server that stands before a provider and records what passes."""
