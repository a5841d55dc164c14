"""The front door: an agent whose only memory is its event log."""

__all__: list[str] = []
