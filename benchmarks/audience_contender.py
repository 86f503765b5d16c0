"""What a contender of the benchmark of audiences is, and how the members that it finds are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.audience_cases import Case, Rule
from benchmarks.audience_events import Data

__all__ = ["THREADS", "Contender", "digest"]

THREADS = 2
"""How many threads every contender may use."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to compute audiences.

    Attributes:
        open: loads what is held in memory and connects; on the clock as `load`, not as computing.
        members: yields for every audience its key and who is in it, in any form; on the clock. One that
            shares work may do all of it before it yields the first.
        numbers: makes of such a form the profiles' numbers, each once; not on the clock.
        says: whether a rule can be said at all; the others are left out.
        store: makes from the Parquet files, once for a size, what `open` reads; timed on its own. None when
            that is the Parquet files or the DuckDB file itself.
        stored: the file or folder inside the data's folder that `store` makes.
    """

    open: Callable[[Data], AbstractContextManager[Any]]
    members: Callable[[Any, Sequence[Case]], Iterator[tuple[str, Any]]]
    numbers: Callable[[Any], npt.NDArray[np.int64]]
    says: Callable[[Rule], bool] = lambda _: True
    store: Callable[[Data], None] | None = None
    stored: str | None = None


def digest(numbers: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Make a set comparable: its size and the sum of its scrambled members, whatever their order.

    Args:
        numbers: the members, each once.
    """
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return len(mixed), int((mixed ^ (mixed >> np.uint64(31))).sum(dtype=np.uint64))
