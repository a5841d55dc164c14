"""The conversation of `refold chat`: its state, its line to type in, its slash commands."""
