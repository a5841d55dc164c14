"""Models: their names (`catalog`), one pure codec a wire protocol, what providers refuse (`rules`), the transport."""
