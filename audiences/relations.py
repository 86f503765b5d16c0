"""Questions that need a query of their own: each becomes a SELECT of `id` and `answer`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import sqlglot
from sqlglot import exp

from audiences.chains import sequence_ids
from audiences.conditions import Conditions
from audiences.engines.engine import Kind
from audiences.rules import (
    Consented,
    Distinct,
    Events,
    Held,
    Identified,
    InQuery,
    MostFrequent,
    Path,
    QueryValue,
    Sequence,
    UniqueList,
)

__all__ = ["CONSENTED", "MANUAL", "Manual", "Rows", "relation"]

CONSENTED = "consented_profiles"
"""Table of `purpose`, `profile_id`: everybody who is permitted at `as_of`."""

MANUAL = "manual_members"
"""Table of `audience`, `profile_id`, `state` (`in`, `out`): the manual decisions in force."""


_KIND = "kind"
_CLOCKS = {
    "profile_events": ("received_at", "occurred_at"),
    "profile_traits": ("received_at", "occurred_at"),
    "profiles": ("first_seen_at",),
}
"""What checked queries may read, and the instants that say when a row becomes visible."""


class Rows(Protocol):
    """Selects events."""

    def __call__(self, events: Events, columns: Mapping[str, Path], kind: Kind | None = None) -> exp.Select:
        """Visible events: `id`, `occurred_at`, `message_id`, and columns of the values under some paths.

        Args:
            events: the selection, its window and `where`.
            columns: name → path.
            kind: the kind that all these values are known to be, to read them as it; None for stored values.
        """
        ...


@dataclass(frozen=True, slots=True)
class Manual:
    """Whom a person put into an audience, or out of it, by hand.

    Attributes:
        audience: its key.
        state: `in` or `out`.
    """

    audience: str
    state: str


def relation(
    about: Hashable, conditions: Conditions, rows: Rows, changes: Callable[[str], exp.Select]
) -> exp.Select:
    """Write the query behind a relation that a condition asked for.

    Args:
        about: the node, measure or decision that asked.
        conditions: writes conditions on single values.
        rows: selects events.
        changes: selects the visible changes of one trait: `id`, `value`, `occurred_at`, `message_id`.

    Returns:
        A SELECT of `id` and `answer`, at most one row an id.
    """
    engine, owner = conditions.engine, conditions.owner
    match about:
        case Distinct(events, path):
            counted = exp.Count(this=exp.Star()).as_("answer")
            return exp.select("id", counted).from_(_scalars(conditions, rows, events, path)).group_by("id")
        case MostFrequent(events, path, at_least):
            order = exp.Order(
                expressions=[exp.Ordered(this=exp.column("times"), desc=True), *map(_ascending, _order())]
            )
            place = exp.Window(this=exp.RowNumber(), partition_by=[exp.column("id")], order=order)
            ranked = exp.select("id", "times", *_typed(), place.as_("place")).from_(
                _scalars(conditions, rows, events, path)
            )
            answer = engine.stored(*_typed())
            enough = exp.column("times") >= at_least
            return (
                exp.select("id", answer.as_("answer"))
                .from_(ranked.subquery("ranked"))
                .where(exp.column("place").eq(1), enough)
            )
        case UniqueList(events, path):
            answer = engine.collected(engine.stored(*_typed()), _order())
            return (
                exp.select("id", answer.as_("answer"))
                .from_(_scalars(conditions, rows, events, path))
                .group_by("id")
            )
        case Sequence():
            found = sequence_ids(about, rows, engine, conditions.as_of)
            return exp.select("id", exp.true().as_("answer")).from_(found.subquery("found"))
        case Held():
            return _held_since(about, conditions, changes)
        case Identified(types):
            return (
                exp.select(exp.column(owner).as_("id"), exp.true().as_("answer"))
                .distinct()
                .from_("profile_identifiers")
                .where(exp.column("type").isin(*types))
            )
        case Consented(purpose):
            return (
                exp.select(exp.column("profile_id").as_("id"), exp.true().as_("answer"))
                .distinct()
                .from_(CONSENTED)
                .where(exp.column("purpose").eq(purpose))
            )
        case Manual(audience, state):
            return (
                exp.select(exp.column("profile_id").as_("id"), exp.true().as_("answer"))
                .distinct()
                .from_(MANUAL)
                .where(exp.column("audience").eq(audience), exp.column("state").eq(state))
            )
        case InQuery(sql):
            asked = _visible_query(sql, conditions).subquery("asked_query")
            answer = exp.true().as_("answer")
            return exp.select(exp.column("profile_id").as_("id"), answer).distinct().from_(asked)
        case QueryValue(sql):
            asked = _visible_query(sql, conditions).subquery("asked_query")
            # of several rows of one profile the smallest, so that the answer is a function of the set
            value = engine.wrapped(exp.Min(this=exp.column("value"))).as_("answer")
            return exp.select(exp.column("profile_id").as_("id"), value).from_(asked).group_by("profile_id")
        case _:
            raise AssertionError(about)


def _typed() -> tuple[exp.Expr, exp.Expr, exp.Expr]:
    return exp.column("flag"), exp.column("number"), exp.column("text")


def _order() -> list[exp.Expr]:
    return [exp.column(_KIND), *_typed()]


def _ascending(value: exp.Expr) -> exp.Expr:
    return exp.Ordered(this=value, nulls_first=True)


def _scalars(conditions: Conditions, rows: Rows, events: Events, path: tuple[str, ...]) -> exp.Subquery:
    """The different texts, numbers and flags of a property: id, kind, flag, number, text, times."""
    engine = conditions.engine
    only = conditions.only_kind(events.selection, path)
    given = rows(events, {"given": path}, only).subquery("given_rows")
    if only is None:
        listed = engine.explode(exp.select("id").from_(given), engine.scalars(exp.column("given")), "scalar")
        scalar: exp.Expr = exp.column("scalar", quoted=True)
        flag, number, text = engine.flag(scalar), engine.number(scalar), engine.text(scalar)
    else:
        # no array and nothing else: the property is read as what it is
        listed = exp.select("id", "given").from_(given)
        missing = {"flag": "BOOLEAN", "number": "DOUBLE", "text": "TEXT"}
        flag, number, text = (
            exp.column("given") if kind == only else exp.cast(exp.null(), type_)
            for kind, type_ in missing.items()
        )
    typed = exp.select(
        "id",
        flag.as_("flag"),
        number.as_("number"),
        engine.ordered_text(text).as_("text"),
        exp.Case()
        .when(flag.copy().is_(exp.null()).not_(), exp.Literal.number(0))
        .when(number.copy().is_(exp.null()).not_(), exp.Literal.number(1))
        .when(text.copy().is_(exp.null()).not_(), exp.Literal.number(2))
        .as_(_KIND),
    ).from_(listed.subquery("listed"))
    return (
        exp.select("id", _KIND, *_typed(), exp.Count(this=exp.Star()).as_("times"))
        .from_(typed.subquery("typed"))
        .where(exp.column(_KIND).is_(exp.null()).not_())
        .group_by("id", _KIND, *_typed())
        .subquery("scalars")
    )


def _held_since(held: Held, conditions: Conditions, changes: Callable[[str], exp.Select]) -> exp.Select:
    """Since when a trait has had its value: the first of the newest changes that all set it."""
    name, *inner = held.trait.path
    value: exp.Expr = exp.column("value")
    for key in inner:
        value = conditions.engine.into(value, key)
    differs = exp.not_(exp.paren(conditions.holds_value(value, held)))
    later = exp.Window(
        this=exp.Sum(this=exp.Case().when(differs, exp.Literal.number(1)).else_(exp.Literal.number(0))),
        partition_by=[exp.column("id")],
        order=exp.Order(
            expressions=[
                exp.Ordered(this=exp.column(column), desc=True, nulls_first=False)
                for column in ("occurred_at", "message_id")
            ]
        ),
        spec=exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW"),
    )
    since = exp.select("id", "occurred_at", later.as_("interruptions")).from_(
        changes(name).subquery("changes")
    )
    return (
        exp.select("id", exp.Min(this=exp.column("occurred_at")).as_("answer"))
        .from_(since.subquery("since"))
        .where(exp.column("interruptions").eq(0))
        .group_by("id")
    )


def _visible_query(sql: str, conditions: Conditions) -> exp.Query:
    """A checked query, over what is visible at `as_of`; `$as_of` in it is that instant."""
    now = conditions.engine.instant(conditions.as_of)
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    own = {each.alias for each in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if table.name in own:
            continue
        clocks = _CLOCKS[table.name]
        rows = exp.select("*").from_(table.name).where(*(exp.column(each) <= now.copy() for each in clocks))
        table.replace(rows.subquery(table.alias or table.name))
    for each in list(tree.find_all(exp.Parameter)):
        each.replace(now.copy())
    return cast("exp.Query", tree)
