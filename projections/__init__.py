"""The read side: pure folds of events into everything one may want to look at."""

__all__: list[str] = []
