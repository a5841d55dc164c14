"""Tools: Python functions a model may call, the check of its arguments, and the results it reads."""
