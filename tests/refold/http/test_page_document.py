"""The document describes what the page asks for, beside the public resources, and changes none of their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from refold import open_log
from refold.http.api.openapi import document
from refold.http.api.page import PAGE
from refold.http.api.routes import Nothing
from refold.http.api.v1 import ROUTES
from tests.refold.http.pages import served_page


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_every_route_of_the_page_is_described_and_every_name_is_one_things() -> None:
    whole = document((*ROUTES, *PAGE), version="0")
    operations = [one for path in whole["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names) == len(ROUTES) + len(PAGE)
    assert all(one["summary"] for one in operations)
    schemas = whole["components"]["schemas"]
    assert {name.rpartition("/")[2] for name in references(whole)} <= schemas.keys()
    public = document(ROUTES, version="0")["components"]["schemas"]
    assert {name: schemas[name] for name in public} == public


def test_what_the_page_takes_is_refused_where_it_is_not_known() -> None:
    for route in PAGE:
        for kind in (route.query, route.body):
            assert kind is Nothing or kind.__struct_config__.forbid_unknown_fields, (route.path, kind)
            assert msgspec.inspect.type_info(kind) is not None


async def test_the_served_document_says_which_header_a_write_takes() -> None:
    async with open_log() as log, served_page(log) as page:
        found = (await page.client.get("/openapi.json")).json()
    write = found["paths"]["/api/sessions/{session}/hide"]["post"]
    marked = next(one for one in write["parameters"] if one["name"] == "x-refold")
    assert (marked["required"], marked["schema"]) == (True, {"const": "1"})
    assert "/api/sessions/{session}/run" not in found["paths"]  # this server runs nothing
