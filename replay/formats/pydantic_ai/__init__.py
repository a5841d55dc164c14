"""Message histories of Pydantic AI."""
