"""A server that answers by a script or a recording."""
