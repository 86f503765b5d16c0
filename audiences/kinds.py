"""Which kinds of values the properties of events have had: what lets a rule read them at column speed.

Ingest notes every kind that it stores, in the transaction that stores it, so the catalogue can only hold too
many. Where a property has only ever been a text, a cast reads it; where it has been several things, each
value is asked what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from audiences.rules import Named, Path, Selection
from identity.store.warehouse import Warehouse

__all__ = ["Kinds", "read_kinds"]


@dataclass(frozen=True, slots=True)
class Kinds:
    """The catalogue.

    Attributes:
        by_name: event name → path → kinds: `text`, `number`, `flag`, `array`, `object`.
    """

    by_name: Mapping[str, Mapping[Path, frozenset[str]]]

    def of(self, selection: Selection, path: Path) -> frozenset[str]:
        """The kinds that a property may have in the events of a selection; none when it was never there.

        Args:
            selection: which events.
            path: the property.
        """
        if isinstance(selection, Named):
            names = [name for name in selection.names if name in self.by_name]
        else:
            names = [name for name in self.by_name if name.startswith(selection.prefix)]
        return frozenset().union(*(self.by_name[name].get(path, frozenset()) for name in names))


def read_kinds(warehouse: Warehouse) -> Kinds:
    """Read the catalogue.

    Args:
        warehouse: an open warehouse with its tables.
    """
    by_name: dict[str, dict[Path, frozenset[str]]] = {}
    found = warehouse.query(exp.select("name", "path", "kind").from_("property_kinds")).to_pylist()
    for row in found:
        paths = by_name.setdefault(row["name"], {})
        path = tuple(json.loads(row["path"]))
        paths[path] = paths.get(path, frozenset()) | {row["kind"]}
    return Kinds(by_name)
