"""What the identity graph is made of: rules by type code, links in canonical order, merges.

Segment's flat matching takes events in canonical order `(occurred_at, message_id)`, so rows stand in it.
Repeating a list of identifiers changes nothing while no limit is windowed: what one event of it joined is
joined, and what was too many stays too many. So lists may be given once; where limits are windowed, give
every event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["GraphRules", "Ints", "Links", "Marks", "Merges"]

Ints = npt.NDArray[np.int64]
"""A numpy array of 64-bit integers."""

Marks = npt.NDArray[np.bool_]
"""A numpy array of yes and no."""


@dataclass(frozen=True, slots=True)
class GraphRules:
    """Limits and priorities by type code.

    Attributes:
        limits: how many a profile may hold.
        windows: microseconds that a limit looks back over, or None for ever.
        priorities: 1 is the highest.
        unique: True when two values always mean two people.
        conflict: what gives way when a profile would hold too many: `demote` knows limits and caps,
            `drop_links` knows unique types only.
        max_merges: profiles that one profile may absorb; beyond it, an event resolves (to the profile of its
            highest-priority identifier that has one) but links nothing.
        max_identifiers: identifiers that one profile may hold; beyond it, likewise.
    """

    limits: tuple[int, ...]
    windows: tuple[int | None, ...]
    priorities: tuple[int, ...]
    unique: tuple[bool, ...]
    conflict: Literal["demote", "drop_links"] = "demote"
    max_merges: int = 100
    max_identifiers: int = 1000


@dataclass(frozen=True, slots=True)
class Links:
    """Events' identifier lists in canonical order, blocked identifiers left out.

    Attributes:
        offsets: row i's codes are `codes[offsets[i]:offsets[i + 1]]`, at least one.
        codes: identifier codes in each event's own order; under `drop_links` they decide ties, so let them
            follow from the identifiers alone there.
        occurred_at: first time that the row's list was seen, microseconds, never falling.
        last_occurred_at: newest time that it was seen, microseconds.
    """

    offsets: Ints
    codes: Ints
    occurred_at: Ints
    last_occurred_at: Ints


@dataclass(frozen=True, slots=True)
class Merges:
    """Profiles absorbed by older ones, column by column; all three are rows of the links.

    Attributes:
        from_founder: the first row of the profile that ended.
        into_founder: the first row of the profile that went on.
        cause: the row that joined them.
    """

    from_founder: Ints
    into_founder: Ints
    cause: Ints

    def where(self, kept: Marks) -> Merges:
        """Only the marked ones."""
        return Merges(self.from_founder[kept], self.into_founder[kept], self.cause[kept])

    def in_order(self) -> Merges:
        """In canonical order of their cause, then of the profile that ended."""
        order = np.lexsort((self.from_founder, self.cause))
        return Merges(self.from_founder[order], self.into_founder[order], self.cause[order])

    def with_more(self, more: Merges) -> Merges:
        """These and more, in order."""
        if not len(more.cause):
            return self
        return Merges(
            np.concatenate([self.from_founder, more.from_founder]),
            np.concatenate([self.into_founder, more.into_founder]),
            np.concatenate([self.cause, more.cause]),
        ).in_order()
