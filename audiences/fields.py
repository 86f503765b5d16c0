"""Traits of profiles and properties of events: how they are read, and the questions that only they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from audiences.errors import RuleError
from audiences.handles import Rule
from audiences.literals import checked_length, path_of, value_for, whole, zone_of
from audiences.operands import OperandHandle
from audiences.rules import Held, Property, Recurs, Relative, Trait
from audiences.terms import Duration

if TYPE_CHECKING:
    from typing import Self, TypeAlias

    Path: TypeAlias = str | Sequence[str]
    Scalar: TypeAlias = str | int | float | bool | date | datetime

__all__ = ["FieldHandle", "prop", "trait"]

_LONGEST_RECURRENCE = 365


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FieldHandle(OperandHandle):
    """A trait or a property, to be compared with values."""

    def as_number(self) -> Self:
        """Read texts that are numbers, such as `"12.50"`, as those numbers.

        Raises:
            RuleError: it is read in another way already.
        """
        return self._read("number")

    def folded(self) -> Self:
        """Ignore case and accents, in the value and in what it is compared with.

        Raises:
            RuleError: it is read in another way already.
        """
        return self._read("folded")

    def within_last(self, length: Duration) -> Rule:
        """Make the rule that the trait is a date in `(as_of − length, as_of]`.

        Args:
            length: for example `days(7)`.

        Raises:
            RuleError: not a length of time, or not a trait.
        """
        return self._relative("within_last", length)

    def before_last(self, length: Duration) -> Rule:
        """Make the rule that the trait is a date at or before `as_of − length`.

        Args:
            length: for example `days(7)`.

        Raises:
            RuleError: not a length of time, or not a trait.
        """
        return self._relative("before_last", length)

    def within_next(self, length: Duration) -> Rule:
        """Make the rule that the trait is a date in `(as_of, as_of + length]`.

        Args:
            length: for example `days(7)`.

        Raises:
            RuleError: not a length of time, or not a trait.
        """
        return self._relative("within_next", length)

    def after_next(self, length: Duration) -> Rule:
        """Make the rule that the trait is a date after `as_of + length`.

        Args:
            length: for example `days(7)`.

        Raises:
            RuleError: not a length of time, or not a trait.
        """
        return self._relative("after_next", length)

    def recurs_within(self, days: int, tz: str | None = None) -> Rule:
        """Make the rule that the day and month of a date come again soon, as a birthday does.

        Args:
            days: how many days from today, which counts too; 1 to 365.
            tz: the time zone whose calendar says what is today; required.

        Raises:
            RuleError: no such number or zone, or not a trait.
        """
        where = f"{self!r}.recurs_within(…)"
        if isinstance(days, Duration):
            raise RuleError(
                f"{where} counts days of the calendar: recurs_within(days=7, tz='Europe/Berlin')."
            )
        number = whole(days, f"{where}: days", 1, _LONGEST_RECURRENCE)
        return Rule(Recurs(self._date("recurs_within"), number, zone_of(tz, where)))

    def recurs_today(self, tz: str | None = None) -> Rule:
        """Make the rule that the day and month of a date are today's.

        Args:
            tz: the time zone whose calendar says what is today; required.

        Raises:
            RuleError: no such zone, or not a trait.
        """
        return Rule(Recurs(self._date("recurs_today"), 0, zone_of(tz, f"{self!r}.recurs_today(…)")))

    def held(
        self,
        value: Scalar,
        *,
        for_at_least: Duration | None = None,
        for_less_than: Duration | None = None,
    ) -> Rule:
        """Make the rule that the trait has had a value without a break for some time.

        Args:
            value: the value.
            for_at_least: it has had it for this long or longer.
            for_less_than: it has it, but not for as long as this.

        Raises:
            RuleError: none or both of the lengths, or not a trait.
        """
        where = f"{self!r}.held(…)"
        found = self._trait("held", "compare it with ==")
        if (for_at_least is None) == (for_less_than is None):
            raise RuleError(
                f"{where} takes one length of time: for_at_least=weeks(1) or for_less_than=weeks(1)."
            )
        if self.each:
            raise RuleError(f"{where} looks at the whole value; leave every() out.")
        literal = value_for(found, "==", value, where)
        if for_at_least is not None:
            return Rule(Held(found, literal, ">=", checked_length(for_at_least, where)))
        return Rule(Held(found, literal, "<", checked_length(for_less_than, where)))

    def _read(self, read: Literal["number", "folded"]) -> Self:
        found = self._field()
        if found.read != "plain":
            raise RuleError(f"{self!r} is read in one way only; choose as_number() or folded().")
        return replace(self, operand=replace(found, read=read))

    def _relative(
        self, relation: Literal["within_last", "before_last", "within_next", "after_next"], length: object
    ) -> Rule:
        found = self._date(relation)
        return Rule(Relative(found, relation, checked_length(length, f"{self!r}.{relation}(…)")))

    def _date(self, method: str) -> Trait:
        found = self._trait(method, "compare it with a date, or give the events a window with within(…)")
        if found.read != "plain" or self.each:
            raise RuleError(
                f"{self!r}.{method}(…) reads a date; leave as_number(), folded() and every() out."
            )
        return found

    def _trait(self, method: str, instead: str) -> Trait:
        found = self._field()
        if isinstance(found, Property):
            raise RuleError(
                f"{self!r}.{method}(…) looks at traits, and this is a property of an event; {instead}."
            )
        return found

    def _field(self) -> Trait | Property:
        assert isinstance(self.operand, (Trait, Property))  # noqa: S101  # only trait() and prop() make one
        return self.operand


def trait(path: Path) -> FieldHandle:
    """Start a rule about a trait of the profile, or of the account in an audience of accounts.

    Args:
        path: its name; dots lead into nested values, `address.city`. A list of keys when a key has a dot.

    Raises:
        RuleError: an empty name or key.
    """
    return FieldHandle(Trait(path_of(path, "trait(…)")))


def prop(path: Path) -> FieldHandle:
    """Start a condition about a property of an event, for `where(…)`.

    Args:
        path: its name; dots lead into nested values, `cart.total`. A list of keys when a key has a dot.

    Raises:
        RuleError: an empty name or key.
    """
    return FieldHandle(Property(path_of(path, "prop(…)")))
