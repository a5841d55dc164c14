"""Models: names (`catalog`), one codec a wire protocol, what providers refuse (`rules`, `adapt`), the transport."""
