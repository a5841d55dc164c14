"""JSON patches (RFC 6902): what changed between two JSON values, and making the change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

Operation: TypeAlias = dict[str, object]


def diff(before: object, after: object) -> list[Operation]:
    """List the operations (add, remove, replace) that make one value of the other."""
    return list(_diff(before, after, ""))


def apply(value: object, patch: Sequence[Operation]) -> object:
    """Return the value after a patch's operations; the value itself stays as it is.

    Raises: LookupError, TypeError or ValueError for a patch that does not fit.
    """
    for operation in patch:
        path = str(operation["path"])
        keys = [key.replace("~1", "/").replace("~0", "~") for key in path.split("/")[1:]]
        value = _changed(value, keys, str(operation["op"]), operation.get("value"))
    return value


def _diff(before: object, after: object, path: str) -> Iterator[Operation]:
    match before, after:
        case dict(), dict():
            for key in before:  # in its order: a set's would be another in each process
                if key not in after:
                    yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
            for key, value in after.items():
                if key in before:
                    yield from _diff(before[key], value, f"{path}/{_escaped(key)}")
                else:
                    yield {"op": "add", "path": f"{path}/{_escaped(key)}", "value": value}
        case list(), list():
            for place, (old, new) in enumerate(zip(before, after, strict=False)):
                yield from _diff(old, new, f"{path}/{place}")
            for place in range(len(before) - 1, len(after) - 1, -1):
                yield {"op": "remove", "path": f"{path}/{place}"}
            for value in after[len(before) :]:
                yield {"op": "add", "path": f"{path}/-", "value": value}
        case _ if type(before) is not type(after) or before != after:
            yield {"op": "replace", "path": path, "value": after}
        case _:
            pass


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _changed(value: object, keys: list[str], name: str, new: object) -> object:
    if not keys:
        return new
    key, rest = keys[0], keys[1:]
    match value:
        case dict():
            return _changed_dict(dict(value), key, rest, name, new)
        case list():
            return _changed_list(list(value), key, rest, name, new)
        case _:
            raise TypeError(f"a patch goes into {key!r} of what is neither an object nor a list")


def _changed_dict(found: dict[str, object], key: str, rest: list[str], name: str, new: object) -> object:
    if rest:
        found[key] = _changed(found[key], rest, name, new)
    elif name == "remove":
        del found[key]
    else:
        found[key] = new
    return found


def _changed_list(found: list[object], key: str, rest: list[str], name: str, new: object) -> object:
    place = len(found) if key == "-" else int(key)
    if rest:
        found[place] = _changed(found[place], rest, name, new)
    elif name == "remove":
        del found[place]
    elif name == "add":
        found.insert(place, new)
    else:
        found[place] = new
    return found
