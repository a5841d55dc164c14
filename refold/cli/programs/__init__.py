"""Other programs that commands start: agents, with sessions of their own."""
