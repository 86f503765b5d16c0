"""From a rule to one SQL condition over facts: the only `match` that says what each node means in SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, assert_never, cast

from sqlglot import exp

from audiences.comparing import as_number, in_window, is_order, ordered
from audiences.engines import Engine
from audiences.engines.engine import Kind, Question
from audiences.engines.texts import fold
from audiences.errors import RuleError
from audiences.facts import Fact, Facts
from audiences.kinds import Kinds
from audiences.periods import calendar_days
from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    CompareOp,
    Consented,
    Count,
    Distinct,
    Exists,
    FirstTime,
    Held,
    Identified,
    InAudience,
    InQuery,
    Latest,
    MostFrequent,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    OneOf,
    Operand,
    Path,
    Pick,
    Property,
    Quantile,
    QueryValue,
    Reading,
    Recency,
    Recurs,
    Regularly,
    Relative,
    Sampled,
    Selection,
    Sequence,
    Top,
    Trait,
    UniqueList,
)
from audiences.sealed import Privacy, refuse_sealed, sealed_literal
from audiences.terms import Ago, Duration, Flag, Instant, Number, Text, Value

__all__ = ["Conditions", "OfEvents", "is_figure"]

_DAY = 86_400_000_000
_UNIT = 2**64
_NO_DATES = "they are no dates; keep what the rule needs in a trait of its own, such as a renewal date"
_TEXT, _NUMBER, _FLAG = (frozenset({each}) for each in ("text", "number", "flag"))
_SCALARS = _TEXT | _NUMBER | _FLAG


@dataclass(frozen=True, slots=True)
class OfEvents:
    """Events of which something is asked one by one.

    Attributes:
        selection: which they are.
        properties: the column of their properties.
        reads: where typed reads are noted, each with the name of its column; None to write them in place.
    """

    selection: Selection
    properties: exp.Expr
    reads: dict[exp.Expr, str] | None = None


@dataclass(slots=True)
class Conditions:
    """Writes conditions, and gathers the facts that they read.

    Attributes:
        engine: whose SQL.
        as_of: the instant of evaluation, aware.
        privacy: which fields are sealed.
        owner: the column of the profile's, or the account's, id.
        members: makes the condition "is in that audience".
        facts: what was asked for.
        kinds: which kinds of values properties have had; None when nobody knows.
        place: `file:line` of the definition in hand, for errors.
    """

    engine: Engine
    as_of: datetime
    privacy: Privacy
    owner: Literal["profile_id", "account"]
    members: Callable[[str], exp.Expr]
    facts: Facts
    kinds: Kinds | None = None
    place: str = ""

    def rule(self, node: Node, of_event: OfEvents | None = None) -> exp.Expr:
        """A rule as a condition that is TRUE or FALSE, never NULL.

        Args:
            node: the rule.
            of_event: the events that it is asked of, one by one; None for a profile or account.
        """
        match node:
            case Compare(operand, op, value, every):
                if is_figure(operand):
                    return _not_null(self._figure_is(operand, op, value))
                given = self._sealed(operand, op, value)
                return self._asked(operand, of_event, [(op, given)], every=every)
            case OneOf(operand, values, every):
                if is_figure(operand):
                    return _not_null(exp.or_(*(self._figure_is(operand, "==", each) for each in values)))
                equal: list[tuple[CompareOp, Value]] = [
                    ("==", self._sealed(operand, "==", each)) for each in values
                ]
                return self._asked(operand, of_event, equal, every=every)
            case Exists(operand):
                if is_figure(operand):
                    return self.figure(operand).is_(exp.null()).not_()
                held, known = self.value(operand, of_event), self._known(operand, of_event)
                readable = _SCALARS if _reading(operand) != "number" else _NUMBER
                if known is not None and len(known) == 1 and known <= readable:
                    (kind,) = known
                    return self.read(of_event, held, cast("Kind", kind)).is_(exp.null()).not_()
                if _reading(operand) == "number":
                    return self.engine.any_element(
                        held, lambda each: self.engine.numeric(each).is_(exp.null()).not_(), every=False
                    )
                return self.engine.exists(held)
            case Relative(operand, relation, length):
                return self._about_date(operand, lambda moment: self._relative(moment, relation, length))
            case Recurs(operand, days, zone):
                return self._recurs(operand, calendar_days(self.as_of, days, zone))
            case Held(trait, value, op, length):
                self._sealed(trait, "==", value)
                since = self.facts.of_relation(Held(trait, value, ">=", Duration(0)))
                limit = self.engine.instant(self.as_of - length.delta)
                return _not_null(exp.LTE(this=since, expression=limit) if op == ">=" else since > limit)
            case FirstTime(events):
                first = self.facts.of_events(Fact("first_at", replace(events, window=None)))
                inside = in_window(events.window, first, self.as_of, self.engine)
                return exp.and_(first.copy().is_(exp.null()).not_(), *([inside] if inside else []))
            case Latest(events, has):
                return _not_null(self.facts.of_events(Fact("has", events, detail=has)))
            case Regularly():
                return self._regularly(node)
            case Sampled(split, start, stop):
                return self._sampled(split, start, stop)
            case Top(measure, count, share):
                return self._top(self.figure(measure), count, share)
            case OfProfiles(quantifier):
                answer = exp.true() if quantifier == "none" else exp.false()
                return exp.Coalesce(this=self.facts.of_relation(node), expressions=[answer])
            case InAudience(key):
                return self.members(key)
            case Sequence() | Identified() | Consented() | InQuery() | OfAccount():
                return _not_null(self.facts.of_relation(node))
            case Not(rule):
                return exp.not_(exp.paren(self.rule(rule, of_event)))
            case AllOf(rules):
                return exp.and_(exp.true(), *(self.rule(each, of_event) for each in rules))
            case AnyOf(rules):
                return exp.or_(exp.false(), *(self.rule(each, of_event) for each in rules))
            case _:
                assert_never(node)

    def value(self, operand: Operand, of_event: OfEvents | None = None) -> exp.Expr:
        """The stored value of an operand that is no figure.

        Args:
            operand: a trait, a property, or a measure that picks values.
            of_event: the events in hand, for a property.
        """
        match operand:
            case Property(path):
                if of_event is None:
                    raise RuleError("prop(…) asks about an event; put it into did(…).where(…).", self.place)
                return self.property(of_event, path)
            case Trait((name, *inner)):
                return self._within(self.facts.of_trait(name), inner)
            case Pick(events, which, path):
                kind = self.only_kind(events.selection, path)
                picked = self.facts.of_events(Fact(which, events, path, kind))
                return picked if kind is None else self.engine.wrapped(picked)
            case MostFrequent() | UniqueList() | QueryValue():
                return self.facts.of_relation(operand)
            case _:
                raise AssertionError(operand)

    def holds_value(self, value: exp.Expr, held: Held) -> exp.Expr:
        """The condition that a stored value is the one that a trait must have held.

        Args:
            value: of the trait, at some change.
            held: names the trait and the value.
        """
        given = self._sealed(held.trait, "==", held.value)
        return self.engine.any_element(value, self._question("==", given, held.trait.read), every=False)

    def property(self, of_event: OfEvents, path: Path) -> exp.Expr:
        """The stored value under a path of events' properties."""
        value = self.engine.key(of_event.properties, path[0])
        for number, key in enumerate(path[1:], start=1):
            lists = self.kinds is None or "array" in self.kinds.of(of_event.selection, path[:number])
            value = self.engine.into(value, key) if lists else self.engine.key(value, key)
        return value

    def only_kind(self, selection: Selection, path: Path) -> Kind | None:
        """The one kind of value that a property has ever been; None for several, or when nobody knows."""
        known = self._known(Property(path), OfEvents(selection, exp.null()))
        if known is None or len(known) != 1 or not known <= _SCALARS:
            return None
        (kind,) = known
        return cast("Kind", kind)

    def read(self, of_event: OfEvents | None, value: exp.Expr, kind: Kind) -> exp.Expr:
        """A stored value as the one kind that it can be; once an event, where reads are noted.

        Args:
            of_event: the events in hand.
            value: the stored value.
            kind: what it is, or missing.
        """
        held = self.engine.known(value, kind)
        if of_event is None or of_event.reads is None:
            return held
        return exp.column(of_event.reads.setdefault(held, f"read {len(of_event.reads)}"), quoted=True)

    def number(self, of_event: OfEvents, path: Path, read: Reading = "plain") -> exp.Expr:
        """The number under a path of events' properties; NULL where there is none."""
        value = self.property(of_event, path)
        if self._known(Property(path), of_event) == _NUMBER:
            return self.read(of_event, value, "number")
        return self.engine.numeric(value) if read == "number" else self.engine.number(value)

    def figure(self, operand: Operand) -> exp.Expr:
        """The number of a measure; NULL when it is missing, or no number.

        Args:
            operand: a measure.
        """
        match operand:
            case Count(events):
                return _or_zero(self.facts.of_events(Fact("count", events)))
            case ActiveDays(events, zone):
                return _or_zero(self.facts.of_events(Fact("days", events, detail=zone)))
            case Distinct():
                return _or_zero(self.facts.of_relation(operand))
            case Aggregate(events, function, path, read):
                self._unsealed(path, function)
                if function != "avg":
                    return self.facts.of_events(Fact(function, events, path, read))
                total, count = self._sum_and_count(operand)
                return exp.Div(this=exp.cast(total, "DOUBLE"), expression=exp.cast(count, "DOUBLE"))
            case Quantile(events, path, share):
                self._unsealed(path, "quantile")
                return self.facts.of_events(Fact("quantile", events, path, share))
            case Recency(events):
                last = self.facts.of_events(Fact("last_at", events))
                passed = self.engine.microseconds(self.engine.instant(self.as_of), last)
                days = exp.Div(this=exp.cast(passed, "DOUBLE"), expression=as_number(float(_DAY)))
                return exp.Floor(this=days)
            case _:
                return self.engine.number(self.value(operand))

    def _figure_is(self, operand: Operand, op: CompareOp, value: Value) -> exp.Expr:
        if not isinstance(value, Number) or not is_order(op):
            return exp.false()
        number = value.value
        match operand:
            case Aggregate(_, "sum"):
                return ordered(self.figure(operand), op, self.engine.exact(as_number(number)))
            case Aggregate(_, "avg", path):
                self._unsealed(path, "avg")
                # the sum is compared with number × count, which keeps it exact
                total, count = self._sum_and_count(operand)
                bound = exp.Mul(
                    this=exp.cast(self.engine.exact(as_number(number)), "DECIMAL(27, 9)"),
                    expression=self.engine.whole(count),
                )
                return ordered(total, op, bound)
            case _:
                return ordered(self.figure(operand), op, as_number(number))

    def _sum_and_count(self, average: Aggregate) -> tuple[exp.Expr, exp.Expr]:
        events, path, read = average.events, average.path, average.read
        return (
            self.facts.of_events(Fact("sum", events, path, read)),
            self.facts.of_events(Fact("numbers", events, path, read)),
        )

    def _asked(
        self,
        operand: Operand,
        of_event: OfEvents | None,
        given: list[tuple[CompareOp, Value]],
        *,
        every: bool,
    ) -> exp.Expr:
        """Whether a stored value satisfies any of some comparisons."""
        known = self._known(operand, of_event)
        questions = [self._question(op, each, _reading(operand), known, of_event) for op, each in given]

        def question(value: exp.Expr) -> exp.Expr:
            return (
                exp.or_(*(each(value) for each in questions)) if len(questions) > 1 else questions[0](value)
            )

        value = self.value(operand, of_event)
        if known is not None and "array" not in known:
            return _not_null(question(value))
        return self.engine.any_element(value, question, every=every)

    def _known(self, operand: Operand, of_event: OfEvents | None) -> frozenset[str] | None:
        """The kinds that a property may have; None when nobody knows, or an array is on the way to it."""
        if not isinstance(operand, Property) or of_event is None or self.kinds is None:
            return None
        path, selection = operand.path, of_event.selection
        if any("array" in self.kinds.of(selection, path[:number]) for number in range(1, len(path))):
            return None
        return self.kinds.of(selection, path)

    def _question(
        self,
        op: CompareOp,
        given: Value,
        read: Reading,
        known: frozenset[str] | None = None,
        of_event: OfEvents | None = None,
    ) -> Question:
        """The question "is it `op` that value", for one stored value that is no array."""
        engine = self.engine

        def question(value: exp.Expr) -> exp.Expr:
            match given:
                case Text(text):
                    if read == "number":
                        return exp.false()
                    held = self.read(of_event, value, "text") if known == _TEXT else engine.text(value)
                    if read == "folded":
                        held, text = engine.folded(held), fold(text)
                    if is_order(op):
                        return ordered(engine.ordered_text(held), op, exp.Literal.string(text))
                    return engine.asks_text(held, op, text)  # type: ignore[arg-type]
                case Number(number):
                    if known == _NUMBER:
                        held = self.read(of_event, value, "number")
                    else:
                        held = engine.numeric(value) if read == "number" else engine.number(value)
                    return ordered(held, op, as_number(number))
                case Flag(flag):
                    held = self.read(of_event, value, "flag") if known == _FLAG else engine.flag(value)
                    return ordered(held, op, exp.Boolean(this=flag))
                case Instant(moment):
                    return ordered(engine.moment(value), op, engine.instant(moment))
                case _:
                    assert_never(given)

        return question

    def _about_date(self, operand: Trait, asks: Question) -> exp.Expr:
        refuse_sealed(self.privacy, operand, _NO_DATES, self.owner, self.place)
        return self.engine.any_element(
            self.value(operand), lambda value: asks(self.engine.moment(value)), every=False
        )

    def _relative(self, moment: exp.Expr, relation: str, length: Duration) -> exp.Expr:
        now, delta = self.engine.instant(self.as_of), length.delta
        match relation:
            case "within_last":
                return exp.and_(moment > self.engine.instant(self.as_of - delta), moment.copy() <= now)
            case "before_last":
                return moment <= self.engine.instant(self.as_of - delta)
            case "within_next":
                return exp.and_(moment > now, moment.copy() <= self.engine.instant(self.as_of + delta))
            case _:
                return moment > self.engine.instant(self.as_of + delta)

    def _recurs(self, operand: Trait, days: tuple[str, ...]) -> exp.Expr:
        refuse_sealed(self.privacy, operand, _NO_DATES, self.owner, self.place)

        def question(value: exp.Expr) -> exp.Expr:
            start, length = exp.Literal.number(6), exp.Literal.number(5)
            written = exp.Substring(this=self.engine.text(value), start=start, length=length)
            return exp.and_(self.engine.moment(value).is_(exp.null()).not_(), written.isin(*days))

        return self.engine.any_element(self.value(operand), question, every=False)

    def _regularly(self, node: Regularly) -> exp.Expr:
        seconds = node.period.seconds
        periods: list[exp.Expr] = []
        for number in range(node.of):
            window = Ago(Duration(seconds * (number + 1)), Duration(seconds * number))
            counted = self.figure(Count(replace(node.events, window=window)))
            enough = ordered(counted, node.op, exp.Literal.number(node.number))
            one = exp.Case().when(enough, exp.Literal.number(1)).else_(exp.Literal.number(0))
            periods.append(exp.paren(one))
        total = periods[0]
        for each in periods[1:]:
            total = exp.Add(this=total, expression=each)
        return ordered(exp.paren(total), ">=", exp.Literal.number(node.at_least))

    def _sampled(self, split: str, start: float, stop: float) -> exp.Expr:
        """Compare the hash's first 16 digits as texts: of one length, they are in the order of numbers."""
        secret = exp.Literal.string(self.privacy.split_key(split))
        text = exp.cast(exp.column(self.owner), "TEXT")
        digest = self.engine.hash(exp.DPipe(this=secret, expression=text))
        conditions: list[exp.Expr] = [exp.true()]
        if start > 0:
            conditions.append(exp.GTE(this=digest, expression=exp.Literal.string(_digits(start))))
        if stop < 1:
            conditions.append(exp.LT(this=digest.copy(), expression=exp.Literal.string(_digits(stop))))
        return exp.and_(*conditions)

    def _top(self, figure: exp.Expr, count: int | None, share: float | None) -> exp.Expr:
        order = exp.Order(
            expressions=[
                exp.Ordered(this=figure.copy(), desc=True, nulls_first=False),
                exp.Ordered(this=exp.column(self.owner), nulls_first=False),
            ]
        )
        rank = exp.Window(this=exp.RowNumber(), order=order)
        if count is not None:
            enough = ordered(rank, "<=", exp.Literal.number(count))
        else:
            having = exp.cast(exp.Window(this=exp.Count(this=figure.copy())), "DOUBLE")
            enough = ordered(rank, "<=", exp.Mul(this=having, expression=as_number(share or 0.0)))
        return exp.and_(figure.copy().is_(exp.null()).not_(), enough)

    def _sealed(self, operand: Operand, op: CompareOp, value: Value) -> Value:
        return sealed_literal(self.privacy, operand, op, value, of=self.owner, place=self.place)

    def _unsealed(self, path: Path, what: str) -> None:
        refuse_sealed(self.privacy, Property(path), f"there is no {what} of them", self.owner, self.place)

    def _within(self, value: exp.Expr, path: tuple[str, ...] | list[str]) -> exp.Expr:
        for key in path:
            value = self.engine.into(value, key)
        return value


def is_figure(operand: Operand) -> bool:
    """Whether an operand is a plain SQL number; the others are stored values."""
    match operand:
        case Count() | ActiveDays() | Distinct() | Aggregate() | Quantile() | Recency():
            return True
        case Trait() | Property() | Pick() | MostFrequent() | UniqueList() | QueryValue():
            return False
        case _:
            assert_never(operand)


def _reading(operand: Operand) -> Reading:
    return operand.read if isinstance(operand, (Trait, Property)) else "plain"


def _not_null(condition: exp.Expr) -> exp.Expr:
    return exp.Coalesce(this=condition, expressions=[exp.false()])


def _or_zero(count: exp.Expr) -> exp.Expr:
    return exp.Coalesce(this=count, expressions=[exp.Literal.number(0)])


def _digits(share: float) -> str:
    return f"{min(int(share * _UNIT), _UNIT - 1):016x}"
