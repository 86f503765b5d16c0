"""Figures over events: how many, how much, which, how long ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from audiences.errors import RuleError
from audiences.handles import Rule
from audiences.literals import path_of, whole, zone_of
from audiences.operands import OperandHandle
from audiences.rules import (
    ActiveDays,
    Aggregate,
    Count,
    Distinct,
    Measure,
    MostFrequent,
    Pick,
    Property,
    Quantile,
    Recency,
    Trait,
    UniqueList,
)
from audiences.selecting import SelectedEvents

if TYPE_CHECKING:
    from typing import TypeAlias

    Path: TypeAlias = str | Sequence[str]

__all__ = ["MeasureHandle", "MeasuredEvents"]

_MOST = 2**53


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MeasureHandle(OperandHandle):
    """A figure of one profile, to be compared with values."""

    @property
    def measure(self) -> Measure:
        """The figure as data."""
        assert not isinstance(self.operand, (Trait, Property))  # noqa: S101  # made of figures only
        return self.operand


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MeasuredEvents(SelectedEvents):
    """Events whose number, and whose properties' figures, can be asked for."""

    def count(self) -> MeasureHandle:
        """How many such events there are, 0 included."""
        return MeasureHandle(Count(self.events))

    def at_least(self, n: int) -> Rule:
        """Make the rule that there are n such events or more."""
        return self._compare(">=", n)

    def at_most(self, n: int) -> Rule:
        """Make the rule that there are n such events or fewer, none included."""
        return self._compare("<=", n)

    def exactly(self, n: int) -> Rule:
        """Make the rule that there are exactly n such events."""
        return self._compare("==", n)

    def count_between(self, low: int, high: int) -> Rule:
        """Make the rule that the number of such events lies between two numbers, both included.

        Args:
            low: the smaller.
            high: the larger.

        Raises:
            RuleError: not whole numbers, or out of order.
        """
        return self.count().between(low, high)

    def active_days(self, *, tz: str | None = None) -> MeasureHandle:
        """On how many different days there are such events, 0 included.

        Args:
            tz: the time zone whose midnight begins a day; required.

        Raises:
            RuleError: no such zone.
        """
        return MeasureHandle(ActiveDays(self.events, zone_of(tz, f"{self!r}.active_days(…)")))

    def distinct(self, path: Path) -> MeasureHandle:
        """How many different values a property has, 0 included.

        Args:
            path: the property; elements of arrays count one by one.
        """
        return MeasureHandle(Distinct(self.events, self._path("distinct", path)))

    def sum(self, path: Path, *, numeric_texts: bool = False) -> MeasureHandle:
        """The sum of a property's numbers, exact to nine digits after the point.

        Args:
            path: the property.
            numeric_texts: count texts that are numbers, such as `"12.50"`, too.
        """
        return self._aggregate("sum", path, numeric_texts)

    def avg(self, path: Path, *, numeric_texts: bool = False) -> MeasureHandle:
        """The average of a property's numbers.

        Args:
            path: the property.
            numeric_texts: count texts that are numbers, such as `"12.50"`, too.
        """
        return self._aggregate("avg", path, numeric_texts)

    def min(self, path: Path, *, numeric_texts: bool = False) -> MeasureHandle:
        """The smallest of a property's numbers.

        Args:
            path: the property.
            numeric_texts: count texts that are numbers, such as `"12.50"`, too.
        """
        return self._aggregate("min", path, numeric_texts)

    def max(self, path: Path, *, numeric_texts: bool = False) -> MeasureHandle:
        """The largest of a property's numbers.

        Args:
            path: the property.
            numeric_texts: count texts that are numbers, such as `"12.50"`, too.
        """
        return self._aggregate("max", path, numeric_texts)

    def median(self, path: Path) -> MeasureHandle:
        """The number in the middle of a property's numbers; between two, half-way.

        Args:
            path: the property.
        """
        return MeasureHandle(Quantile(self.events, self._path("median", path), 0.5))

    def percentile(self, path: Path, share: float) -> MeasureHandle:
        """The number below which a share of a property's numbers lies, interpolated between neighbours.

        Args:
            path: the property.
            share: above 0 and below 1, such as 0.9.

        Raises:
            RuleError: no such share.
        """
        where = f"{self!r}.percentile(…)"
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise RuleError(
                f"{where}: share lies above 0 and below 1, such as 0.9; min(…) and max(…) are the ends."
            )
        return MeasureHandle(Quantile(self.events, self._path("percentile", path), float(share)))

    def first(self, path: Path) -> MeasureHandle:
        """The value in the first event that has the property.

        Args:
            path: the property.
        """
        return MeasureHandle(Pick(self.events, "first", self._path("first", path)))

    def last(self, path: Path) -> MeasureHandle:
        """The value in the last event that has the property.

        Args:
            path: the property.
        """
        return MeasureHandle(Pick(self.events, "last", self._path("last", path)))

    def most_frequent(self, path: Path, *, at_least: int = 1) -> MeasureHandle:
        """The value that a property has most often; a tie is won by the first in order.

        Args:
            path: the property.
            at_least: how often it must have come up.

        Raises:
            RuleError: at_least is not a whole number from 1.
        """
        least = whole(at_least, f"{self!r}.most_frequent(…): at_least", 1, _MOST)
        return MeasureHandle(MostFrequent(self.events, self._path("most_frequent", path), least))

    def unique(self, path: Path) -> MeasureHandle:
        """The different values of a property, as a list; compares as an array does.

        Args:
            path: the property.
        """
        return MeasureHandle(UniqueList(self.events, self._path("unique", path)))

    def days_since_last(self) -> MeasureHandle:
        """How many whole days, of 24 hours, ago the last such event was; missing when there is none."""
        return MeasureHandle(Recency(self.events))

    def _aggregate(
        self, function: Literal["sum", "avg", "min", "max"], path: object, numeric_texts: bool
    ) -> MeasureHandle:
        if not isinstance(numeric_texts, bool):
            raise RuleError(f"{self!r}.{function}(…): numeric_texts is True or False.")
        read: Literal["plain", "number"] = "number" if numeric_texts else "plain"
        return MeasureHandle(Aggregate(self.events, function, self._path(function, path), read))

    def _path(self, method: str, path: object) -> tuple[str, ...]:
        return path_of(path, f"{self!r}.{method}(…)")
