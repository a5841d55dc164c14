"""The pure core: the state of a session, what may happen next, what each event makes of it, and what comes next."""
