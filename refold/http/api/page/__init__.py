"""What the page asks for, under /api: it may change with the page, and is not promised to others."""

from __future__ import annotations

from collections.abc import Sequence

from ..routes import Route
from .charts import CHARTS
from .live import LIVE
from .one_file import ONE_FILE
from .reading import READING
from .requests import REQUESTS
from .server import SERVER
from .store import STORE
from .tables import TABLES
from .writing import WRITING

PAGE: Sequence[Route] = (*TABLES, *READING, *ONE_FILE, *REQUESTS, *CHARTS, *LIVE, *WRITING, *STORE, *SERVER)

__all__ = ["PAGE"]
