"""The OpenAPI document of routes, made from the types they take and answer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from eventsource.events import Event

from ..interface.problems import MEDIA_TYPE, Problem
from ..interface.values import IDS, NAMES_HEADER
from .problems import phrase
from .routes import MARK, MARKED, Nothing, Route

VERSION = "3.1.0"
JSON = "application/json"
_REFERENCE = "#/components/schemas/{name}"
_ALWAYS = (400, 401, 403, 408, 422, 503)
_WITH_BODY = (413, 415)

Json: TypeAlias = dict[str, Any]  # a document, not data of ours


def document(routes: Sequence[Route], *, version: str) -> Json:
    """Describe routes. `version`: of the interface, Refold's own."""
    types: list[type[msgspec.Struct]] = [Problem, *dict.fromkeys(kind for route in routes for kind in _types(route))]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_any, ref_template=_REFERENCE)
    refer: dict[type[msgspec.Struct], Json] = dict(zip(types, schemas, strict=True))
    (event,), events = msgspec.json.schema_components([Event], schema_hook=_any, ref_template=_REFERENCE)
    components |= {**events, "Event": event}
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refer)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Refold",
            "version": version,
            "description": "Sessions of agents, read, followed live and steered over HTTP.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _tidied(components),
        },
    }


def _types(route: Route) -> list[type[msgspec.Struct]]:
    answers = [kind for kinds in route.answers.values() for kind in kinds if not isinstance(kind, str)]
    return [route.query, route.body, *answers, *route.streams.values()]


def _operation(route: Route, refer: Mapping[type[msgspec.Struct], Json]) -> Json:
    summary, _, rest = (inspect.getdoc(route.does) or "").partition("\n")
    operation: Json = {
        "operationId": route.does.__name__,
        "tags": [route.tag],
        "summary": summary.rstrip("."),
        "parameters": [*_in_path(route), *_in_query(route), *_in_header(route)],
        "responses": _responses(route, refer),
    }
    if rest.strip():
        operation["description"] = " ".join(rest.split())
    if route.body is not Nothing:
        content: Json = {JSON: {"schema": refer[route.body]}}
        if route.takes_forms:
            content["application/x-www-form-urlencoded"] = {"schema": refer[route.body]}
        is_needed = any(field.required for field in msgspec.structs.fields(route.body))
        operation["requestBody"] = {"required": is_needed, "content": content}
    if route.streams:
        operation["x-events"] = {name: refer[kind] for name, kind in route.streams.items()}
    if route.is_open:
        operation["security"] = []
    return operation


def _in_path(route: Route) -> list[Json]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    said = {"session": "A session's whole id, or its title."}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            **({"description": said[name]} if name in said else {}),
        }
        for name in names
    ]


def _in_query(route: Route) -> list[Json]:
    _, components = msgspec.json.schema_components([route.query], schema_hook=_any)
    shape = components[route.query.__name__]
    description = " ".join((inspect.getdoc(route.query) or "").split()) if route.query is not Nothing else ""
    found: list[Json] = []
    for name, schema in shape.get("properties", {}).items():
        schema = _plain(schema)
        parameter = {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": schema}
        found.append(parameter | ({"description": description} if not found and description else {}))
    return found


def _plain(schema: Json) -> Json:
    """Leave out that a parameter may be null: one that is not given is not there."""
    if "anyOf" in schema:
        left = [one for one in schema["anyOf"] if one != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf" and value is not None}
        return {**rest, **left[0]} if len(left) == 1 else {**rest, "anyOf": left}
    return {key: value for key, value in schema.items() if not (key == "default" and value is None)}


def _in_header(route: Route) -> list[Json]:
    found: list[Json] = []
    if route.is_marked:
        said = "Sent by a page of this server: no form of another page can send it."
        found.append({"name": MARK, "in": "header", "required": True, "schema": {"const": MARKED}, "description": said})
    if route.takes_key:
        said = "What is sent again with the same key happens once, and is answered as the first time."
        schema = {"type": "string", "minLength": 1, "maxLength": 255}
        found.append({"name": "Idempotency-Key", "in": "header", "schema": schema, "description": said})
    if "{session}" in route.path:
        said = "`ids`: the path names a session by its whole id, and never by a title."
        found.append({"name": NAMES_HEADER, "in": "header", "schema": {"const": IDS}, "description": said})
    if route.takes_match:
        said = 'The seq of the head that was seen, such as "42": if others have gone on since, nothing happens (409).'
        schema = {"type": "string", "pattern": '^"[0-9]{1,11}"$'}
        found.append({"name": "If-Match", "in": "header", "schema": schema, "description": said})
    return found


def _responses(route: Route, refer: Mapping[type[msgspec.Struct], Json]) -> Json:
    found: dict[int, Json] = {}
    for status, kinds in route.answers.items():
        content = {kind if isinstance(kind, str) else JSON: {"schema": _schema(kind, refer)} for kind in kinds}
        found[status] = {"description": phrase(status), "content": content}
    problem = {MEDIA_TYPE: {"schema": refer[Problem]}}
    errors = {*_ALWAYS, *route.errors, *(_WITH_BODY if route.body is not Nothing else ())}
    for status in sorted(errors - ({401} if route.is_open else set())):
        answer = found.setdefault(status, {"description": phrase(status), "content": {}})
        answer["content"] |= problem
    return {str(status): found[status] for status in sorted(found)}


def _schema(kind: type[msgspec.Struct] | str, refer: Mapping[type[msgspec.Struct], Json]) -> Json:
    if isinstance(kind, str):
        return {"type": "object" if kind == JSON else "string"}
    return refer[kind]


def _tidied(schema: object) -> Any:  # noqa: ANN401 - a document
    """Write docstrings alike under every Python, and tuples as lists: readers get lost in `prefixItems`."""
    if isinstance(schema, list | tuple):
        return [_tidied(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _tidied(one) for name, one in schema.items()}
    if isinstance(found.get("description"), str):
        found["description"] = inspect.cleandoc(found["description"])
    if "prefixItems" in found:
        found["items"] = {"anyOf": found.pop("prefixItems")}
    return found


def _any(kind: type) -> Json:
    """Describe what may be any JSON. Raises: TypeError for a type that no document can describe."""
    if kind is not object:
        raise TypeError(f"{kind!r} has no JSON Schema: routes take and answer structs of JSON's types")
    return {"description": "Any JSON."}
