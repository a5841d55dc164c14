"""Why a request was not done, as both sides write it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a request was not done: RFC 9457.

    `error` is the class of the error and `fields` what it says beside its sentence (`detail`), such as the seqs of a
    conflict.
    """

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    error: str = ""
    fields: Mapping[str, object] = {}
