"""Models: the protocol, one pure codec per wire protocol, and the transport."""
