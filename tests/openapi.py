"""Writes the document of the interface over HTTP: python -m tests.openapi > docs/openapi.json."""

from __future__ import annotations

import json
from importlib.metadata import version

from refold.http.api.openapi import document
from refold.http.api.v1 import ROUTES


def page() -> str:
    """Write the document."""
    return json.dumps(document(ROUTES, version=version("refold")), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(page(), end="")
