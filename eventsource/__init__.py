"""The write side: events, messages, the state machine, the log, the loop."""

__all__: list[str] = []
