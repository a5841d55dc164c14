"""What a page is drawn from: small answers about any seq of a session, folded once."""
