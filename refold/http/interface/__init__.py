"""What is said over HTTP, as types: a server and a client read and write the same ones."""
