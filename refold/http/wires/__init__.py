"""The protocols as a server speaks them."""
