"""The public resources, under /v1."""

from __future__ import annotations

from collections.abc import Sequence

from ..meta import META
from ..routes import Route
from .beginnings import BEGINNINGS
from .events import EVENTS
from .links import LINKS
from .overviews import OVERVIEWS
from .sessions import SESSIONS
from .verbs import VERBS
from .views import VIEWS

ROUTES: Sequence[Route] = (*SESSIONS, *BEGINNINGS, *EVENTS, *VERBS, *VIEWS, *OVERVIEWS, *LINKS, *META)

__all__ = ["ROUTES"]
