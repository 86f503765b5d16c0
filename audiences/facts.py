"""What rules ask of the data: each question once, however many rules ask it.

An *event fact* is an aggregate over the events of one selection; facts of one selection are worked out in one
scan. A trait's newest value is another kind; whatever needs a query of its own is a *relation*.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from sqlglot import exp

from audiences.rules import Events, Path, Selection

__all__ = ["Fact", "Facts", "Figure"]

Figure = Literal[
    "count", "days", "numbers", "sum", "min", "max", "quantile", "first", "last", "first_at", "last_at", "has"
]
"""What is aggregated: rows, local days, numbers, values, instants, an answer."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One aggregate over events.

    Attributes:
        figure: which.
        events: over what.
        path: the property that it looks at, if any.
        detail: how: a zone, a share, a reading, a condition.
    """

    figure: Figure
    events: Events
    path: Path = ()
    detail: Hashable = None


@dataclass(slots=True)
class Facts:
    """The questions asked so far, and the column that answers each.

    Attributes:
        scans: selection → fact → column.
        traits: name of a trait → column.
        relations: what a relation is about → column.
    """

    scans: dict[Selection, dict[Fact, str]] = field(default_factory=dict)
    traits: dict[str, str] = field(default_factory=dict)
    relations: dict[Hashable, str] = field(default_factory=dict)

    def of_events(self, fact: Fact) -> exp.Column:
        """The column of an event fact."""
        columns = self.scans.setdefault(fact.events.selection, {})
        if fact not in columns:
            columns[fact] = f"fact {sum(map(len, self.scans.values()))}"
        return exp.column(columns[fact], quoted=True)

    def of_trait(self, name: str) -> exp.Column:
        """The column of a trait's newest value."""
        return exp.column(self.traits.setdefault(name, f"trait {len(self.traits)}"), quoted=True)

    def of_relation(self, about: Hashable) -> exp.Column:
        """The column of a relation's answer."""
        return exp.column(self.relations.setdefault(about, f"relation {len(self.relations)}"), quoted=True)

    def columns(self) -> list[str]:
        """Every column asked for so far."""
        of_events = [column for columns in self.scans.values() for column in columns.values()]
        return [*of_events, *self.traits.values(), *self.relations.values()]
