"""From rules to one SQL query: every distinct condition is a column of one scan, the rules only combine them.

Conditions on events are gathered by event name, so that each name's events are read once; equal conditions of
different audiences are one column. Reads the views `profile_events` and `profile_traits` and the table
`profiles`, and nothing else. A row counts at `as_of` when it was received and had happened by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, assert_never

from sqlglot import exp

from audiences.audience import Audience
from audiences.errors import RuleError
from audiences.order import depends_on, in_order
from audiences.rules import (
    Aggregate,
    Ago,
    AllOf,
    AnyOf,
    Compare,
    Dates,
    Exists,
    Field,
    InAudience,
    Last,
    Measure,
    Node,
    Not,
    OneOf,
    Property,
    Text,
    Threshold,
    Trait,
    Value,
    Window,
    normalise,
)
from audiences.values import any_element, as_number, at, compared, exists, number_of, ordered
from identity.tables import instant

__all__ = ["NOTHING_PERSONAL", "Privacy", "compile_audiences"]

_EXACT = "DECIMAL(38, 9)"
"""Sums are exact to nine digits, so that they do not depend on the order of rows."""
_LARGEST = 1e18


class Privacy(Protocol):
    """Which fields are sealed, and the text that stands for a literal in them."""

    def is_personal(self, where: Literal["trait", "property"], path: tuple[str, ...]) -> bool:
        """Say whether a field's values are sealed."""
        ...

    def tokenise(
        self, where: Literal["trait", "property"], path: tuple[str, ...], literal: str
    ) -> str | None:
        """The text that stands for a literal in a sealed field."""
        ...


class _NothingPersonal:
    def is_personal(self, where: Literal["trait", "property"], path: tuple[str, ...]) -> bool:  # noqa: ARG002
        return False

    def tokenise(
        self,
        where: Literal["trait", "property"],  # noqa: ARG002
        path: tuple[str, ...],  # noqa: ARG002
        literal: str,  # noqa: ARG002
    ) -> str | None:
        return None


NOTHING_PERSONAL: Privacy = _NothingPersonal()
"""For data in which nothing is sealed, such as an oracle's."""


@dataclass(slots=True)
class _Compiler:
    as_of: datetime
    privacy: Privacy
    place: str = ""
    measures: dict[str, dict[tuple[Measure, str], str]] = field(default_factory=dict)
    traits: dict[str, str] = field(default_factory=dict)

    def rule(self, node: Node, of_event: exp.Expr | None = None) -> exp.Expr:
        """A rule as a condition that is TRUE or FALSE, never NULL."""
        match node:
            case Compare(where, op, value):
                given = self._sealed(where, op, value)
                return any_element(self._value(where, of_event), compared(op, given))
            case OneOf(where, values):
                questions = [compared("==", self._sealed(where, "==", value)) for value in values]
                return any_element(
                    self._value(where, of_event),
                    lambda each: exp.or_(*(question(each) for question in questions)),
                )
            case Exists(where):
                return exists(self._value(where, of_event))
            case Threshold(measure, op, number):
                if isinstance(measure, Aggregate):
                    figure = self._figure(measure, op, number.value)
                    return exp.Coalesce(this=figure, expressions=[exp.false()])
                counted = exp.Coalesce(this=self._measure(measure), expressions=[exp.Literal.number(0)])
                return ordered(counted, op, exp.Literal.number(int(number.value)))
            case Not(rule):
                return exp.not_(exp.paren(self.rule(rule, of_event)))
            case AllOf(rules):
                return exp.and_(*(self.rule(each, of_event) for each in rules))
            case AnyOf(rules):
                return exp.or_(*(self.rule(each, of_event) for each in rules))
            case InAudience(key):
                return exp.column(key, quoted=True)
            case _:
                assert_never(node)

    def _value(self, where: Field, of_event: exp.Expr | None) -> exp.Expr:
        match where:
            case Property(path):
                if of_event is None:
                    raise RuleError("prop(…) asks about an event; put it into did(…).where(…).", self.place)
                return at(of_event.copy(), path)
            case Trait((name, *inner)):
                column = self.traits.setdefault(name, f"trait {len(self.traits)}")
                return at(exp.column(column, quoted=True), tuple(inner))
            case _:
                raise AssertionError(where)

    def _sealed(self, where: Field, op: str, value: Value) -> Value:
        place: Literal["trait", "property"] = "trait" if isinstance(where, Trait) else "property"
        if not self.privacy.is_personal(place, where.path):
            return value
        if op == "==" and isinstance(value, Text):
            token = self.privacy.tokenise(place, where.path, value.value)
            if token is not None:
                return Text(token)
        raise RuleError(
            f"{'.'.join(where.path)!r} is personal, so its values are sealed: only ==, != and is_in with "
            "texts, and exists(), work on it.",
            self.place,
        )

    def _measure(self, measure: Measure, figure: str = "") -> exp.Expr:
        columns = self.measures.setdefault(measure.events.name, {})
        if (measure, figure) not in columns:
            columns[measure, figure] = f"fact {sum(map(len, self.measures.values()))}"
        return exp.column(columns[measure, figure], quoted=True)

    def _figure(self, measure: Aggregate, op: Literal["==", "<", "<=", ">", ">="], number: float) -> exp.Expr:
        if self.privacy.is_personal("property", measure.path):
            raise RuleError(
                f"{'.'.join(measure.path)!r} is personal, so its values are sealed: there is no "
                f"{measure.function} of them.",
                self.place,
            )
        match measure.function:
            case "min" | "max":
                return ordered(self._measure(measure), op, as_number(number))
            case "sum":
                return ordered(self._measure(measure), op, _exact(as_number(number)))
            case "avg":
                # the sum is compared with number × count, which keeps it exact
                summed = self._measure(Aggregate(measure.events, "sum", measure.path))
                counted = self._measure(measure, "count")
                most = exp.Mul(
                    this=exp.cast(as_number(number), "DECIMAL(27, 9)"),
                    expression=exp.cast(counted, "DECIMAL(11, 0)"),
                )
                return ordered(summed, op, most)
            case _:
                assert_never(measure.function)

    def event_scan(self, name: str, columns: Mapping[tuple[Measure, str], str]) -> exp.Select:
        """One pass over the events of one name, with a column for each measure.

        What measures ask of a single event, its condition and its number, is worked out once an event, below
        the aggregates: measures often differ in their windows only.
        """
        asked: dict[Node, exp.Expr] = {}
        numbers: dict[tuple[tuple[str, ...], bool], exp.Expr] = {}
        selected: list[exp.Expr] = []
        for (measure, figure), column in columns.items():
            where = measure.events.where
            conditions = [self._in_window(measure.events.window)] if measure.events.window else []
            if where is not None:
                conditions.append(asked.setdefault(where, exp.column(f"asked {len(asked)}", quoted=True)))
            total: exp.Expr = exp.Count(this=exp.Star())
            if isinstance(measure, Aggregate):
                exact = measure.function not in ("min", "max")
                number = numbers.setdefault(
                    (measure.path, exact), exp.column(f"number {len(numbers)}", quoted=True)
                )
                total = _total(measure, figure, number.copy())
            if conditions:
                total = exp.Filter(this=total, expression=exp.Where(this=exp.and_(*conditions)))
            selected.append(total.as_(column, quoted=True))
        properties = exp.column("properties")
        events = (
            exp.select("profile_id", "occurred_at")
            .select(
                *(self.rule(where, properties).as_(each.name, quoted=True) for where, each in asked.items())
            )
            .select(
                *(
                    _number(at(properties, path), exact=exact).as_(each.name, quoted=True)
                    for (path, exact), each in numbers.items()
                )
            )
            .from_("profile_events")
            .where(exp.column("name").eq(name), *self._visible())
        )
        oldest = self._oldest([measure.events.window for measure, _ in columns])
        if oldest:
            events = events.where(exp.column("occurred_at") >= instant(oldest))
        return exp.select("profile_id", *selected).from_(events.subquery("each")).group_by("profile_id")

    def trait_scan(self) -> exp.Select:
        """The newest value of every trait that a rule names; one that was removed is NULL."""
        order = exp.Tuple(expressions=[exp.column("occurred_at"), exp.column("message_id")])
        selected = [
            exp.Filter(
                this=exp.Anonymous(this="arg_max_null", expressions=[exp.column("value"), order.copy()]),
                expression=exp.Where(this=exp.column("name").eq(name)),
            ).as_(column, quoted=True)
            for name, column in self.traits.items()
        ]
        return (
            exp.select("profile_id", *selected)
            .from_("profile_traits")
            .where(exp.column("name").isin(*self.traits), *self._visible())
            .group_by("profile_id")
        )

    def _visible(self) -> list[exp.Expr]:
        now = instant(self.as_of)
        return [exp.column("received_at") <= now, exp.column("occurred_at") <= now.copy()]

    def _in_window(self, window: Window) -> exp.Expr:
        at_ = exp.column("occurred_at")
        match window:
            case Last(width):
                return at_ > instant(self.as_of - width.delta)
            case Ago(oldest, newest):
                return exp.and_(
                    at_ > instant(self.as_of - oldest.delta),
                    at_.copy() <= instant(self.as_of - newest.delta),
                )
            case Dates(start, end):
                return exp.and_(at_ >= instant(start), at_.copy() < instant(end))
            case _:
                assert_never(window)

    def _oldest(self, windows: Sequence[Window | None]) -> datetime | None:
        starts = []
        for window in windows:
            match window:
                case None:
                    return None
                case Last(width):
                    starts.append(self.as_of - width.delta)
                case Ago(oldest, _):
                    starts.append(self.as_of - oldest.delta)
                case Dates(start, _):
                    starts.append(start)
        return min(starts)


def _total(measure: Aggregate, figure: str, number: exp.Expr) -> exp.Expr:
    if figure == "count":
        return exp.Count(this=number)
    totals = {"min": exp.Min, "max": exp.Max, "sum": exp.Sum, "avg": exp.Sum}
    return totals[measure.function](this=number)


def _number(value: exp.Expr, *, exact: bool) -> exp.Expr:
    number = number_of(value)
    if not exact:
        return number
    small_enough = exp.Between(this=number, low=as_number(-_LARGEST), high=as_number(_LARGEST))
    return exp.Case().when(small_enough, _exact(number.copy()))


def _exact(number: exp.Expr) -> exp.Expr:
    return exp.cast(number, exp.DataType.build(_EXACT, dialect="duckdb"))


def compile_audiences(
    audiences: Sequence[Audience], as_of: datetime, privacy: Privacy = NOTHING_PERSONAL
) -> exp.Select:
    """Write the query that computes audiences.

    Args:
        audiences: each key once, with all that they are built on.
        as_of: the instant to compute for; aware.
        privacy: which fields are sealed.

    Returns:
        A query with a row for every profile known at `as_of`: `profile_id`, and for each audience a BOOLEAN
        column of its key.

    Raises:
        RuleError: a circle, an unknown audience, or a comparison that does not work on a sealed field.
    """
    compiler = _Compiler(as_of, privacy)
    chosen = in_order(audiences)
    conditions: dict[str, exp.Expr] = {}
    for audience in chosen:
        compiler.place = audience.place
        conditions[audience.key] = compiler.rule(normalise(audience.rule))
    people = (
        exp.select("p.profile_id")
        .from_("profiles AS p")
        .where(exp.column("first_seen_at", "p") <= instant(as_of))
    )
    scans: list[tuple[str, exp.Select]] = [
        (f"events {number}", compiler.event_scan(name, columns))
        for number, (name, columns) in enumerate(compiler.measures.items())
    ]
    if compiler.traits:
        scans.append(("traits", compiler.trait_scan()))
    for name, _ in scans:
        table = exp.to_identifier(name, quoted=True)
        people = people.join(
            exp.Table(this=table.copy()),
            on=exp.column("profile_id", "p").eq(
                exp.Column(this=exp.to_identifier("profile_id"), table=table)
            ),
            join_type="left",
        )
    facts = [column for columns in compiler.measures.values() for column in columns.values()]
    facts += compiler.traits.values()
    people = people.select(*(exp.column(name, quoted=True) for name in facts))
    query = people
    # an audience in an audience reads its column, so each level of them is a query around the one below
    for level in _levels(chosen):
        query = exp.select("*", *(conditions[key].as_(key, quoted=True) for key in level)).from_(
            query.subquery("below")
        )
    result = exp.select("profile_id", *(exp.column(each.key, quoted=True) for each in audiences)).from_(
        query.subquery("all_of_them")
    )
    for name, scan in scans:
        result = result.with_(exp.to_identifier(name, quoted=True), as_=scan)
    return result


def _levels(audiences: Sequence[Audience]) -> list[list[str]]:
    level: dict[str, int] = {}
    for audience in audiences:
        level[audience.key] = max((level[key] + 1 for key in depends_on(audience)), default=0)
    levels: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for key, number in level.items():
        levels[number].append(key)
    return levels
