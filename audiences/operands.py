"""The comparisons that every value has, whether it is a trait, a property or a figure over events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from audiences.errors import RuleError
from audiences.handles import Rule, Unfinished
from audiences.literals import is_counted, is_number, listed, value_for
from audiences.patterns import portable
from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    CompareOp,
    Count,
    Distinct,
    Events,
    Exists,
    MostFrequent,
    Named,
    Node,
    Not,
    OneOf,
    Operand,
    OrderOp,
    Pick,
    Property,
    Quantile,
    QueryValue,
    Recency,
    Trait,
    UniqueList,
)
from audiences.terms import Text, Value

if TYPE_CHECKING:
    from typing import Self, TypeAlias

    Scalar: TypeAlias = str | int | float | bool | date | datetime

__all__ = ["OperandHandle", "written", "written_events"]


@dataclass(frozen=True, slots=True, eq=False)
class OperandHandle(Unfinished):
    """A value of one profile or one event, to be compared; an array by any of its elements."""

    operand: Operand
    each: bool = field(default=False, kw_only=True)

    def __repr__(self) -> str:
        """Write it as it was defined."""
        return written(self.operand) + (".every()" if self.each else "")

    def exists(self) -> Rule:
        """Make the rule that there is a value other than null; an empty text is a value.

        Raises:
            RuleError: a count, which always has a value.
        """
        if self.each:
            raise RuleError(f"{self!r}.exists() has no meaning; leave every() out.")
        if is_counted(self.operand):
            raise RuleError(f"{self!r} always has a value, 0 included; compare it with a number.")
        if isinstance(self.operand, (Trait, Property)):
            return Rule(Exists(replace(self.operand, read="plain")))
        return Rule(Exists(self.operand))

    def between(self, low: Scalar, high: Scalar) -> Rule:
        """Make the rule that the value lies between two others, both included.

        Args:
            low: the smaller.
            high: the larger, of the same kind.

        Raises:
            RuleError: two kinds, or out of order.
        """
        where = f"{self!r}.between(…)"
        least, most = (self._value(">=", low, where), self._value("<=", high, where))
        if type(least) is not type(most):
            raise RuleError(f"{where} takes two values of one kind, for example between(18, 30).")
        if least.value > most.value:  # type: ignore[operator]  # of one kind
            raise RuleError(f"{where} starts above its end; give the smaller value first.")
        ends = (
            Compare(self.operand, ">=", least, self.each),
            Compare(self.operand, "<=", most, self.each),
        )
        return Rule(AllOf(ends))

    def is_in(self, values: Iterable[Scalar]) -> Rule:
        """Make the rule that the value equals one of these.

        Args:
            values: a list of texts, numbers, booleans, dates or instants.

        Raises:
            RuleError: not a list, or an empty one.
        """
        return Rule(self._one_of(values, "is_in", "is_in(['DE', 'AT'])", self.each))

    def contains(self, text: str | Iterable[str]) -> Rule:
        """Make the rule that the value is a text with this text somewhere inside; upper case differs.

        Args:
            text: what to look for, not empty; any of them when it is a list.

        Raises:
            RuleError: no text, an empty one, or a list after every().
        """
        if isinstance(text, str) or not isinstance(text, Iterable):
            return Rule(self._about_text("contains", text))
        texts = listed(text, f"{self!r}.contains(…)", "contains(['@gmail.', '@yahoo.'])")
        if self.each and len(texts) > 1:
            raise RuleError(f"{self!r}.contains(…) takes one text; matches('(a|b)') looks for several.")
        rules = tuple(self._about_text("contains", each) for each in texts)
        return Rule(rules[0] if len(rules) == 1 else AnyOf(rules))

    def starts_with(self, text: str) -> Rule:
        """Make the rule that the value is a text that starts with this text; upper case differs.

        Args:
            text: what to look for, not empty.
        """
        return Rule(self._about_text("starts_with", text))

    def ends_with(self, text: str) -> Rule:
        """Make the rule that the value is a text that ends with this text; upper case differs.

        Args:
            text: what to look for, not empty.
        """
        return Rule(self._about_text("ends_with", text))

    def matches(self, pattern: str) -> Rule:
        """Make the rule that a pattern is found somewhere in a text; `^` and `$` tie it to its ends.

        Args:
            pattern: a regular expression without look-around, back-references, lazy repetition and flags;
                `docs/rules.md` lists what it may hold.

        Raises:
            RuleError: a pattern that would not mean the same everywhere, with the character where it starts.
        """
        where = f"{self!r}.matches(…)"
        if isinstance(self.operand, (Trait, Property)) and self.operand.read == "folded":
            raise RuleError(
                f"{where} can't follow folded(); write the letters that you mean, as in '[Jj]os[eé]'."
            )
        if not isinstance(pattern, str):
            raise RuleError(f"{where} takes a pattern as a text, for example matches('^[0-9]+$').")
        self._only_texts(where)
        self._value("matches", pattern, where)
        return Rule(Compare(self.operand, "matches", Text(portable(pattern, where)), self.each))

    def includes_all(self, values: Iterable[Scalar]) -> Rule:
        """Make the rule that an array has all of these among its elements.

        Args:
            values: a list.

        Raises:
            RuleError: not a list, an empty one, or a value that is never an array.
        """
        self._only_arrays("includes_all")
        given = listed(values, f"{self!r}.includes_all(…)", "includes_all(['a', 'b'])")
        rules = dict.fromkeys(
            Compare(self.operand, "==", self._value("==", each, f"{self!r}.includes_all(…)"))
            for each in given
        )
        return Rule(next(iter(rules)) if len(rules) == 1 else AllOf(tuple(rules)))

    def excludes_all(self, values: Iterable[Scalar]) -> Rule:
        """Make the rule that there is a value, and it is, or as an array holds, none of these.

        Args:
            values: a list.

        Raises:
            RuleError: not a list, an empty one, or a value that is never an array.
        """
        self._only_arrays("excludes_all")
        none = Not(self._one_of(values, "excludes_all", "excludes_all(['a', 'b'])", every=False))
        return Rule(AllOf((self.exists().node, none)))

    def every(self) -> Self:
        """Compare every element of an array, instead of any; an empty array then satisfies nothing.

        Raises:
            RuleError: a value that is never an array.
        """
        self._only_arrays("every")
        return replace(self, each=True)

    def _compare(self, op: OrderOp, value: object) -> Rule:
        return Rule(Compare(self.operand, op, self._value(op, value, f"{self!r} {op} …"), self.each))

    def _value(self, op: CompareOp, given: object, where: str) -> Value:
        return value_for(self.operand, op, given, where)

    def _one_of(self, values: object, method: str, example: str, every: bool) -> Node:
        where = f"{self!r}.{method}(…)"
        given = listed(values, where, example)
        return OneOf(
            self.operand, tuple(dict.fromkeys(self._value("==", each, where) for each in given)), every
        )

    def _about_text(self, op: Literal["contains", "starts_with", "ends_with"], text: object) -> Node:
        where = f"{self!r}.{op}(…)"
        self._only_texts(where)
        if not isinstance(text, str) or not text:
            raise RuleError(f"{where} takes a text that is not empty; exists() asks for any value.")
        return Compare(self.operand, op, self._value(op, text, where), self.each)

    def _only_texts(self, where: str) -> None:
        if is_number(self.operand):
            raise RuleError(
                f"{where} looks at texts, and this is a number; compare it with ==, <, > or between."
            )

    def _only_arrays(self, method: str) -> None:
        if is_number(self.operand) or isinstance(self.operand, MostFrequent):
            raise RuleError(f"{self!r} is one value, so {method}(…) has no meaning; compare it as it is.")
        if self.each:
            raise RuleError(f"{self!r}.{method}(…) asks for every element twice; leave every() out.")


def written(operand: Operand) -> str:
    """Write an operand nearly as it was defined, for errors.

    Args:
        operand: any.
    """
    match operand:
        case Trait(path, read) | Property(path, read):
            start = "trait" if isinstance(operand, Trait) else "prop"
            suffix = {"plain": "", "number": ".as_number()", "folded": ".folded()"}[read]
            return f"{start}({_key(path)}){suffix}"
        case QueryValue():
            return "query_value(…)"
        case Count(events):
            return f"{written_events(events)}.count()"
        case ActiveDays(events, zone):
            return f"{written_events(events)}.active_days(tz={zone!r})"
        case Recency(events):
            return f"{written_events(events)}.days_since_last()"
        case Quantile(events, path, share):
            return f"{written_events(events)}.percentile({_key(path)}, {share!r})"
        case Distinct(events, path):
            return f"{written_events(events)}.distinct({_key(path)})"
        case Aggregate(events, name, path) | Pick(events, name, path):
            return f"{written_events(events)}.{name}({_key(path)})"
        case MostFrequent(events, path):
            return f"{written_events(events)}.most_frequent({_key(path)})"
        case UniqueList(events, path):
            return f"{written_events(events)}.unique({_key(path)})"


def written_events(events: Events) -> str:
    """Write which events were asked for, for errors.

    Args:
        events: any.
    """
    if isinstance(events.selection, Named):
        return f"did({', '.join(map(repr, events.selection.names))})"
    return f"did_prefix({events.selection.prefix!r})" if events.selection.prefix else "did_anything()"


def _key(path: tuple[str, ...]) -> str:
    return repr(".".join(path) if all("." not in key for key in path) else list(path))
