"""A session and its forks as one HTML page."""

from .page import session_page

__all__ = ["session_page"]
