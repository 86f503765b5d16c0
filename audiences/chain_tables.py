"""The tables that sequences are found in: what may be a step, and what lies before or after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as ListOf
from dataclasses import dataclass, field
from datetime import datetime

from sqlglot import exp

from audiences.engines.engine import Engine
from audiences.rules import Events, Exclusion, Path, Prefixed, Sequence

__all__ = ["EVERYTHING", "Draft", "Other", "Rows", "column", "is_placed"]

Rows = Callable[[Events, Mapping[str, Path]], exp.Select]
"""Visible events of a selection, its window and `where`: `id`, `occurred_at`, `message_id`, and columns of
the stored values under some paths."""

EVERYTHING = Events(Prefixed(""))
"""Every event of a profile: what positions are counted in."""

_TARGET = 1
_LAST = 3


@dataclass(frozen=True, slots=True)
class Other:
    """Rows that are looked for before the rows of another table.

    Attributes:
        table: where they are.
        columns: what is wanted of the last of them: instants, or, when the name says so, a `place`.
        rank: at the same instant, 0 puts them before the rows that look for them, 2 and 3 after those.
        later: how many seconds later than they occurred they count.
    """

    table: str
    columns: Mapping[str, exp.Expr]
    rank: int
    later: int = 0


@dataclass(slots=True)
class Draft:
    """The query of one sequence in the making: tables that build on one another.

    Every table of events has the columns of `base`: `id`, the properties that must be the same, `t` (when it
    occurred), and, where they matter, `message_id` and `place`, the position among the profile's events.

    Attributes:
        node: the sequence.
        rows: selects events.
        engine: whose SQL.
        as_of: the instant of evaluation, aware.
        identified: whether `message_id` matters.
        narrowed: whether profiles that lack a step are left out early, which pays before sorting.
        tables: name → how it is made, each after those that it needs.
    """

    node: Sequence
    rows: Rows
    engine: Engine
    as_of: datetime
    identified: bool = True
    narrowed: bool = True
    tables: dict[str, exp.Select] = field(default_factory=dict)
    _known: dict[object, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """The columns that are equal in all events of a choice."""
        return ["id", *(f"same_{number}" for number in range(len(self.node.same)))]

    @property
    def base(self) -> list[str]:
        """The columns of what may be a step."""
        return [*self._plain, "place"] if is_placed(self.node) else self._plain

    @property
    def _plain(self) -> list[str]:
        return [*self.keys, "t", *(["message_id"] if self.identified else [])]

    def add(self, purpose: str, select: exp.Select) -> str:
        """Keep a table.

        Args:
            purpose: what it holds, in a word.
            select: how it is made.

        Returns:
            Its name.
        """
        name = f"sequence_{purpose}_{len(self.tables)}"
        self.tables[name] = select
        return name

    def finished(self, select: exp.Select) -> exp.Select:
        """Put the tables before the query that they were made for.

        Args:
            select: the query.
        """
        for name, table in self.tables.items():
            select = select.with_(name, as_=table, copy=False)
        return select

    def matching(self, left: str, right: str) -> exp.Expr:
        """The condition that two rows are of one profile and agree in what must be the same.

        Args:
            left: alias of the one.
            right: alias of the other.
        """
        return exp.and_(*(column(each, left).eq(column(each, right)) for each in self.keys))

    # --------------------------------------------------------------------------------------- events

    def events(self, events: Events) -> str:
        """The table of a selection, without events that lack a property that must be the same.

        Args:
            events: the selection.
        """
        if events not in self._known:
            same = dict(zip(self.keys[1:], self.node.same, strict=True))
            renamed = {"t": exp.column("occurred_at").as_("t")}
            renamed |= {name: _comparable(self.engine, exp.column(name)).as_(name) for name in same}
            select = exp.select(*(renamed.get(each, exp.column(each)) for each in self._plain))
            select = select.from_(self.rows(events, same).subquery("found", copy=False))
            found = exp.select("*").from_(select.subquery("comparable", copy=False))
            present = (exp.column(name).is_(exp.null()).not_() for name in same)
            self._known[events] = self.add("events", found.where(*present))
        return self._known[events]

    def scoped(self, events: Events) -> str:
        """The table of a selection, without profiles that lack a step and what lies outside all steps.

        Args:
            events: the selection.
        """
        name = self.events(events)
        if self._scope() is None:
            return name
        about = ("scoped", events)
        if about not in self._known:
            select = exp.select(*(column(each, "e") for each in self._plain)).from_(_table(name, "e"))
            self._known[about] = self.add("scoped", self._in_scope(select, "e"))
        return self._known[about]

    def _scope(self) -> str | None:
        """The profiles that have an event for every step, and, in order, the span that those lie in.

        None when it would leave everybody in, or does not pay.
        """
        if not self.narrowed:
            return None
        several = list(dict.fromkeys(self.events(step.events) for step in self.node.steps))
        if len(several) == 1 and not is_placed(self.node):
            return None
        if "scope" not in self._known:
            make = self._shared_profiles if self.node.any_order else self._spans
            self._known["scope"] = self.add("scope", make(several))
        return self._known["scope"]

    def _shared_profiles(self, several: list[str]) -> exp.Select:
        select = exp.select("id").distinct().from_(several[0])
        return select.where(*(_among(exp.column("id"), each) for each in several[1:]))

    def _spans(self, several: list[str]) -> exp.Select:
        first, last = (self.events(self.node.steps[number].events) for number in (0, -1))
        earliest = exp.select("id", exp.Min(this=exp.column("t")).as_("first_at")).from_(first).group_by("id")
        latest = exp.select("id", exp.Max(this=exp.column("t")).as_("last_at")).from_(last).group_by("id")
        in_order = exp.LTE if self.node.ties == "loose" else exp.LT
        inner = [_among(column("id", "f"), each) for each in several if each not in (first, last)]
        return (
            exp.select(column("id", "f"), "first_at", "last_at")
            .from_(earliest.subquery("f", copy=False))
            .join(latest.subquery("l", copy=False), on=column("id", "f").eq(column("id", "l")))
            .where(in_order(this=exp.column("first_at"), expression=exp.column("last_at")), *inner)
        )

    def _in_scope(self, select: exp.Select, alias: str) -> exp.Select:
        scope = str(self._scope())
        if self.node.any_order:
            return select.where(_among(column("id", alias), scope))
        first, last = column("first_at", "s"), column("last_at", "s")
        return select.join(_table(scope, "s"), on=column("id", "s").eq(column("id", alias))).where(
            exp.Between(this=column("t", alias), low=first, high=last)
        )

    # ----------------------------------------------------------------------------------- candidates

    def candidates(self, number: int) -> str:
        """The table of what may be a step, as far as no other step has a say in it.

        Args:
            number: of the step, from 0.
        """
        alone = [each for each in self.node.exclusions if _decides(number, each)]
        about = ("candidates", self.node.steps[number].events, *alone)
        if about not in self._known:
            events = self.node.steps[number].events
            name = self._placed(events) if is_placed(self.node) else self.scoped(events)
            for each in alone:
                name = self._without(name, each)
            self._known[about] = name
        return self._known[about]

    def _placed(self, events: Events) -> str:
        """The table of a selection with the position of each event among all those in scope."""
        several = list(dict.fromkeys(step.events for step in self.node.steps))
        if "places" not in self._known:
            self._known["places"] = self.add("places", self._places([self.scoped(each) for each in several]))
        kind = exp.column("row_kind").eq(several.index(events) + 1)
        return self.add("placed", exp.select(*self.base).from_(self._known["places"]).where(kind))

    def _places(self, several: list[str]) -> exp.Select:
        """The events of some tables, with how many of all events there are up to each.

        One sort of them together: to look each up among all would be a join by message id.
        """
        everything = exp.select("id", exp.column("occurred_at").as_("t"), "message_id").from_(
            self.rows(EVERYTHING, {}).subquery("found", copy=False)
        )
        known = ("id", "t", "message_id")
        own = [column(each, "e") if each in known else _missing(each) for each in self._plain]
        counted = exp.select(*own, _number(0).as_("row_kind")).from_(everything.subquery("e", copy=False))
        together: exp.Query = self._in_scope(counted, "e")
        for kind, name in enumerate(several, start=1):
            part = exp.select(*self._plain, _number(kind).as_("row_kind")).from_(name)
            together = exp.union(together, part, distinct=False, copy=False)
        kind_column = exp.column("row_kind")
        is_counted = exp.Case().when(kind_column.eq(0), _number(1))
        place = exp.Window(
            this=exp.Count(this=is_counted),
            partition_by=[exp.column("id")],
            order=exp.Order(
                expressions=[
                    exp.column("t"),
                    self.engine.ordered_text(exp.column("message_id")),
                    kind_column.copy(),
                ]
            ),
            spec=_up_to_here(),
        )
        return exp.select(*self._plain, "row_kind", place.as_("place")).from_(
            together.subquery("together", copy=False)
        )

    def _without(self, name: str, exclusion: Exclusion) -> str:
        excluded = self.events(exclusion.events)
        if exclusion.within is not None:
            return self._without_soon(name, excluded, exclusion.within.seconds)
        nothing: exp.Expr = column("edge", "x").is_(exp.null())
        edge: exp.Expr = exp.Max(this=exp.column("t"))
        if exclusion.after is not None:
            nothing = exp.or_(nothing, column("edge", "x") <= column("t", "c"))
        elif exclusion.before is not None:
            nothing = exp.or_(nothing, column("edge", "x") >= column("t", "c"))
            edge = exp.Min(this=exp.column("t"))
        edges = exp.select(*self.keys, edge.as_("edge")).from_(excluded).group_by(*self.keys)
        select = exp.select(*(column(each, "c") for each in self.base)).from_(_table(name, "c"))
        joined = select.join(edges.subquery("x", copy=False), on=self.matching("c", "x"), join_type="left")
        return self.add("without", joined.where(nothing))

    def _without_soon(self, name: str, excluded: str, seconds: int) -> str:
        """Those with nothing in `(t, t + seconds]`, once that has passed."""
        decided = self.engine.later(exp.column("t"), seconds) <= self.engine.instant(self.as_of)
        ready = self.add("decided", exp.select(*self.base).from_(name).where(decided))
        first, last = (made(this=exp.column("t")) for made in (exp.Min, exp.Max))
        spans = exp.select("id", first.as_("first_at"), last.as_("last_at")).from_(ready).group_by("id")
        end = self.engine.later(column("last_at", "s"), seconds)
        near = exp.select(*(column(each, "e") for each in self._plain)).from_(_table(excluded, "e"))
        near = near.join(spans.subquery("s", copy=False), on=column("id", "s").eq(column("id", "e")))
        near = near.where(column("t", "e") > column("first_at", "s"), column("t", "e") <= end)
        other = Other(self.add("near", near), {"prior": exp.column("t")}, 0)
        found = self.with_latest(ready, [other], later=seconds)
        nothing = exp.or_(exp.column("prior").is_(exp.null()), exp.column("prior") <= exp.column("t"))
        return self.add(
            "without", exp.select(*self.base).from_(found.subquery("found", copy=False)).where(nothing)
        )

    # ------------------------------------------------------------------------------- what lies before

    def with_latest(
        self,
        targets: str,
        others: ListOf[Other],
        *,
        later: int = 0,
        by_message: bool = False,
        nearest: bool = False,
    ) -> exp.Select:
        """Rows, and in further columns the greatest values among the others that lie before each.

        Args:
            targets: the table of the rows.
            others: what is looked for; NULL where nothing of it lies before.
            later: how many seconds later than it occurred a row looks back.
            by_message: rows of one instant lie in the order of their message ids, rank 3 after all.
            nearest: only of the row directly before; NULL where that is none of the others.
        """
        wanted = [name for each in others for name in each.columns]
        parts = [self._part(targets, self.base, later, _TARGET, wanted, {})]
        parts += [
            self._part(each.table, self._plain, each.later, each.rank, wanted, each.columns)
            for each in others
        ]
        together: exp.Query = parts[0]
        for part in parts[1:]:
            together = exp.union(together, part, distinct=False, copy=False)
        rank = exp.column("row_rank")
        order: list[exp.Expr] = [exp.column("row_at"), rank]
        if by_message:
            is_last = exp.Case().when(rank.eq(_LAST), _number(1)).else_(_number(0))
            order[1:] = [is_last, self.engine.ordered_text(exp.column("message_id")), rank]
        latest = [_before(name, self.keys, order, nearest=nearest).as_(name) for name in wanted]
        seen = exp.select(*self.base, "row_rank", *latest).from_(together.subquery("together", copy=False))
        return (
            exp.select(*self.base, *wanted).from_(seen.subquery("seen", copy=False)).where(rank.eq(_TARGET))
        )

    def _part(
        self,
        table: str,
        base: list[str],
        later: int,
        rank: int,
        wanted: list[str],
        given: Mapping[str, exp.Expr],
    ) -> exp.Select:
        at = self.engine.later(exp.column("t"), later) if later else exp.column("t")
        own = [exp.column(each) if each in base else _missing(each) for each in self.base]
        values = [given[name].as_(name) if name in given else _missing(name) for name in wanted]
        return exp.select(*own, _number(rank).as_("row_rank"), at.as_("row_at"), *values).from_(table)


def is_placed(node: Sequence) -> bool:
    """Whether positions among all events of a profile matter.

    Args:
        node: a sequence.
    """
    if node.any_order:
        return False
    return any(node.adjacent or step.within_events is not None for step in node.steps[1:])


def column(name: str, table: str) -> exp.Column:
    """A column of a table.

    Args:
        name: its name.
        table: name or alias of the table.
    """
    return exp.column(name, table=table)


def _decides(number: int, exclusion: Exclusion) -> bool:
    """Whether one step alone decides on an exclusion, and it is this one (any, where none is named)."""
    named = [each for each in (exclusion.after, exclusion.before) if each is not None]
    return named in ([], [number])


def _comparable(engine: Engine, value: exp.Expr) -> exp.Expr:
    """A text of a stored text, number or flag, equal for equal ones only; NULL of anything else."""
    # plus zero: there is a negative one, which is equal to zero
    number = exp.Add(this=exp.paren(engine.number(value)), expression=_number(0))
    typed = {
        "t": engine.text(value),
        "n": exp.cast(number, "TEXT"),
        "f": exp.cast(engine.flag(value), "TEXT"),
    }
    first, *others = (
        exp.DPipe(this=exp.Literal.string(kind), expression=exp.paren(each)) for kind, each in typed.items()
    )
    return exp.Coalesce(this=first, expressions=others)


def _before(name: str, keys: list[str], order: list[exp.Expr], *, nearest: bool) -> exp.Expr:
    """The greatest value in the rows before, or the one in the row directly before."""
    value = exp.column(name)
    partition = [exp.column(each) for each in keys]
    ordered = exp.Order(expressions=[each.copy() for each in order])
    if nearest:
        return exp.Window(this=exp.Lag(this=value), partition_by=partition, order=ordered)
    return exp.Window(this=exp.Max(this=value), partition_by=partition, order=ordered, spec=_up_to_here())


def _up_to_here() -> exp.WindowSpec:
    return exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW")


def _missing(name: str) -> exp.Expr:
    kind = "BIGINT" if name.startswith("place") else "TEXT" if name.startswith("same") else "TIMESTAMP"
    return exp.cast(exp.null(), kind).as_(name)


def _among(value: exp.Expr, table: str) -> exp.Expr:
    return value.isin(query=exp.select("id").from_(table))


def _table(name: str, alias: str) -> exp.Expr:
    return exp.to_table(name).as_(alias)


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)
