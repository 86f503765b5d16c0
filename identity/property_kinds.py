"""Which kinds of values the properties of events have had, noted with the events that bring them.

The catalogue may say too much and never too little: who reads a property that has only ever been a text can
read it as one. Kinds are `text`, `number`, `flag`, `array`, `object`; a null is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
from sqlglot import exp

from identity.store.warehouse import Warehouse

__all__ = ["note_kinds"]

_EVERY = ("array", "flag", "number", "object", "text")
_KINDS = {
    "VARCHAR": ("text",),
    "BOOLEAN": ("flag",),
    "BIGINT": ("number",),
    "UBIGINT": ("number",),
    "HUGEINT": ("number",),
    "DOUBLE": ("number",),
    "NULL": (),
    "JSON": _EVERY,
}
"""What the engine calls the structure of a value → the kinds that it may be."""


def note_kinds(warehouse: Warehouse, events: str) -> None:
    """Note the kinds of the properties of events that are about to be stored, in the same transaction.

    Args:
        warehouse: where to.
        events: a relation with the columns `name` and `properties`, the latter JSON text of an object.
    """
    structure = exp.Anonymous(
        this="json_group_structure", expressions=[exp.cast(exp.column("properties"), "JSON")]
    )
    found = warehouse.query(
        exp.select("name", exp.cast(structure, "TEXT").as_("structure"))
        .from_(events)
        .where(exp.column("properties").neq("{}"))
        .group_by("name")
    ).to_pylist()
    rows = {
        (row["name"], json.dumps(path, ensure_ascii=False), kind)
        for row in found
        for path, kind in _kinds(json.loads(row["structure"]), [])
    }
    known = warehouse.query(exp.select("name", "path", "kind").from_("property_kinds")).to_pylist()
    new = sorted(rows - {(row["name"], row["path"], row["kind"]) for row in known})
    if new:
        columns = dict(zip(("name", "path", "kind"), zip(*new, strict=True), strict=True))
        warehouse.append("property_kinds", pa.table({name: list(each) for name, each in columns.items()}))


def _kinds(structure: object, path: list[str]) -> Iterator[tuple[list[str], str]]:
    """Every path of a structure with its kinds; what lies inside arrays is not entered."""
    match structure:
        case dict():
            if path:
                yield path, "object"
            for key, inner in structure.items():
                yield from _kinds(inner, [*path, key])
        case list():
            yield path, "array"
        case str() if path:
            yield from ((path, kind) for kind in _KINDS.get(structure, _EVERY))
        case _:
            pass
