"""Going back, sideways and on: replay, fork, diff, import, export."""

__all__: list[str] = []
