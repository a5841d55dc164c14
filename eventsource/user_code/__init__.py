"""The border to other people's code: its arguments are checked, and whatever it raises is told in words."""
