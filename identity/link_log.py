"""The link log: every list of identifiers that events carried, gathered and coded for the graph.

Rows are kept once a list, with its first event; where a limit is windowed, once an event; where an identifier
was split off, apart for before and after. The engine does the grouping, the ordering and the coding; only
integers leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from sqlglot import exp

from identity.identifiers import IdentityRules
from identity.links import Ints, Links
from identity.overrides import Override
from identity.store.warehouse import Warehouse
from identity.tables import instant, temporary, uuid

__all__ = ["Coded", "code_rows", "gather_all", "gather_component", "gather_dirty", "integers"]

_COLUMNS = (
    "identifiers",
    "subject",
    "moved_to",
    "occurred_at",
    "message_id",
    "last_occurred_at",
    "received_at",
)


@dataclass(frozen=True, slots=True)
class Coded:
    """Rows as integers.

    Attributes:
        links: the rows that carry an identifier that can link, in canonical order.
        table: where the rows lie: `links` itself, or the temporary table `resolve_rows`.
        places: links' row → `place` in that table.
        types: code in the temporary table `resolve_nodes` → type code.
    """

    links: Links
    table: str
    places: Ints
    types: Ints


def gather_all(warehouse: Warehouse, rules: IdentityRules, overrides: Sequence[Override]) -> None:
    """Fill the link log anew from all events.

    Args:
        warehouse: holds the events.
        rules: say whether a limit is windowed.
        overrides: say where a list is kept apart for before and after.
    """
    rows = _grouped(_of_events("events"), rules, overrides)
    warehouse.execute(exp.delete("links"))
    warehouse.execute(exp.insert(rows, "links", columns=["place", *_COLUMNS]))


def gather_dirty(
    warehouse: Warehouse, rules: IdentityRules, overrides: Sequence[Override], *, relisted: bool
) -> None:
    """Fill `resolve_rows` with what `find_scope` found: dirty components, new events, those to read again.

    Args:
        warehouse: holds links, arrivals, and the temporary tables `resolve_dirty` and `resolve_relisted`.
        rules: say whether a limit is windowed.
        overrides: say where a list is kept apart for before and after.
        relisted: True when some lists have to be read from the events again.
    """
    rows: exp.Query = exp.select(*_COLUMNS).from_("links").where(_of_dirty_component())
    if relisted:
        messages = exp.select("message_id").from_("resolve_relisted")
        lists = exp.select("identifiers").from_("events").where(exp.column("message_id").isin(query=messages))
        known = exp.select("*").from_(rows.subquery("k"))
        rows = exp.union(
            known.where(exp.column("identifiers").isin(query=lists).not_()),
            _of_events("events").where(exp.column("message_id").isin(query=messages.copy())),
            distinct=False,
        )
    source = exp.union(rows, _of_events("arrivals"), distinct=False)
    warehouse.execute(temporary("resolve_rows", _grouped(source, rules, overrides)))


def gather_component(
    warehouse: Warehouse,
    rules: IdentityRules,
    overrides: Sequence[Override],
    identifiers: Sequence[str],
    until: datetime | None = None,
) -> None:
    """Fill `resolve_rows` with the rows of some identifiers' components, as the last resolve knew them.

    Args:
        warehouse: holds links and events.
        rules: say whether a limit is windowed.
        overrides: say where a list is kept apart for before and after.
        identifiers: ids of the identifiers whose components are wanted.
        until: leave out what occurred later, UTC; None takes everything.
    """
    ids = [uuid(each) for each in identifiers]
    component = (
        exp.select("component")
        .from_("identifier_profiles")
        .where(exp.In(this=exp.column("identifier_id"), expressions=ids))
    )
    warehouse.execute(temporary("resolve_dirty", component.distinct()))
    if until is None:
        source = exp.select(*_COLUMNS).from_("links")
    else:
        source = _of_events("events").where(exp.column("occurred_at") <= instant(until))
    rows = source.where(_of_dirty_component())
    warehouse.execute(temporary("resolve_rows", _grouped(rows, rules, overrides)))


def _of_dirty_component() -> exp.Expr:
    """Whether a subject lies in a component of `resolve_dirty`; caps and splits send events no further."""
    dirty = exp.select("component").from_("resolve_dirty")
    return exp.column("subject").isin(
        query=exp.select("identifier_id")
        .from_("identifier_profiles")
        .where(exp.column("component").isin(query=dirty))
    )


def _of_events(table: str) -> exp.Select:
    return (
        exp.select(
            "identifiers",
            "subject",
            exp.cast(exp.null(), "UUID").as_("moved_to"),
            "occurred_at",
            "message_id",
            exp.column("occurred_at").as_("last_occurred_at"),
            "received_at",
        )
        .from_(table)
        .where(exp.column("subject").is_(exp.null()).not_())
    )


def _grouped(source: exp.Query, rules: IdentityRules, overrides: Sequence[Override]) -> exp.Select:
    """The source's rows grouped by list, and numbered as they come."""
    keys: list[exp.Expr] = [exp.column("identifiers"), *_eras(overrides)]
    if any(each.window != "ever" for each in rules.types):
        keys.append(exp.column("message_id"))
    first = exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.to_identifier(name), expression=exp.column(name))
            for name in ("occurred_at", "message_id")
        ]
    )
    grouped = (
        exp.select("identifiers")
        .select(
            exp.AnyValue(this=exp.column("subject")).as_("subject"),
            exp.Max(this=exp.column("moved_to")).as_("moved_to"),
            exp.Min(this=first).as_("first"),
            exp.Max(this=exp.column("last_occurred_at")).as_("last_occurred_at"),
            exp.Min(this=exp.column("received_at")).as_("received_at"),
        )
        .from_(source.subquery("s"))
        .group_by(*keys)
    )
    place = exp.Window(this=exp.RowNumber())
    return (
        exp.select((place - 1).as_("place"), "identifiers", "subject", "moved_to")
        .select("first.occurred_at", "first.message_id", "last_occurred_at", "received_at")
        .from_(grouped.subquery("g"))
    )


def _eras(overrides: Sequence[Override]) -> list[exp.Expr]:
    """One key a split: whether a list that carries the identifier was seen after it."""
    return [
        exp.and_(
            exp.ArrayContains(
                this=exp.column("identifiers"),
                expression=uuid(each.identifier),
            ),
            exp.column("occurred_at") > instant(each.decided_at),
        )
        for each in overrides
        if each.kind == "split"
    ]


def code_rows(
    warehouse: Warehouse, rules: IdentityRules, overrides: Sequence[Override], *, everything: bool
) -> Coded:
    """Number the identifiers of the rows that can link, in `resolve_nodes`, and read both as integers.

    Args:
        warehouse: holds the rows.
        rules: name the types.
        overrides: those that hold.
        everything: True for the rows of `links`, False for those of `resolve_rows`.
    """
    kinds = pa.table({"type": [each.name for each in rules.types], "kind": list(range(len(rules.types)))})
    number = exp.Window(this=exp.RowNumber())
    if rules.conflict == "drop_links" or overrides:
        # ties are broken by code there, and must not hang on how the rows happen to lie
        number.set("order", exp.Order(expressions=[exp.Ordered(this=exp.column("identifier_id", "i"))]))
    unnested = exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id")
    table = "links" if everything else "resolve_rows"
    carried = exp.select(unnested).from_(table)
    with warehouse.scratch("kinds", kinds) as name:
        nodes = (
            exp.select((number - 1).as_("code"), "i.identifier_id", "k.kind")
            .from_("identifiers AS i")
            .join(exp.to_table(name).as_("k"), on="k.type = i.type")
            .where(exp.column("blocked", "i").not_())
        )
        if not everything:
            nodes = nodes.where(exp.column("identifier_id", "i").isin(query=carried))
        warehouse.execute(temporary("resolve_nodes", nodes))
    known = warehouse.query(exp.select("code", "kind").from_("resolve_nodes"))
    types = np.empty(known.num_rows, dtype=np.int64)
    types[integers(known, "code")] = integers(known, "kind")
    return _coded(warehouse, table, types)


def _coded(warehouse: Warehouse, table: str, types: Ints) -> Coded:
    rows = warehouse.query(
        exp.select(
            "place",
            exp.ArraySize(this=exp.column("identifiers")).as_("size"),
            exp.Anonymous(this="epoch_us", expressions=[exp.column("occurred_at")]).as_("at"),
            exp.Anonymous(this="epoch_us", expressions=[exp.column("last_occurred_at")]).as_("last"),
        ).from_(table)
    )
    place = integers(rows, "place")
    sizes, at, last = (np.empty(len(place), dtype=np.int64) for _ in range(3))
    for column, name in ((sizes, "size"), (at, "at"), (last, "last")):
        column[place] = integers(rows, name)
    spread = exp.select(
        "place",
        exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id"),
        exp.Anonymous(
            this="generate_subscripts", expressions=[exp.column("identifiers"), exp.Literal.number(1)]
        ).as_("nth"),
    ).from_(table)
    found = warehouse.query(
        exp.select("e.place", "e.nth", "n.code")
        .from_(spread.subquery("e"))
        .join("resolve_nodes AS n", using="identifier_id")
    )
    ends = np.cumsum(sizes)
    codes = np.full(int(ends[-1]) if len(ends) else 0, -1, dtype=np.int64)
    codes[(ends - sizes)[integers(found, "place")] + integers(found, "nth") - 1] = integers(found, "code")
    kept = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[codes >= 0], minlength=len(sizes))
    order = _canonical(warehouse, table, at)
    places = order[kept[order] > 0]
    spread_sizes = sizes[places]
    starts = np.cumsum(spread_sizes) - spread_sizes
    codes = codes[np.arange(spread_sizes.sum()) + np.repeat((ends - sizes)[places] - starts, spread_sizes)]
    offsets = np.concatenate([[0], np.cumsum(kept[places])]).astype(np.int64)
    return Coded(Links(offsets, codes[codes >= 0], at[places], last[places]), table, places, types)


def _canonical(warehouse: Warehouse, table: str, at: Ints) -> Ints:
    """The rows' places in the order (occurred_at, message_id)."""
    order = np.argsort(at, kind="stable")
    ordered = at[order]
    same = ordered[1:] == ordered[:-1]
    ties = np.flatnonzero(np.r_[same, False] | np.r_[False, same]) if len(order) else order
    if not len(ties):
        return order
    wanted = pa.table({"nth": np.arange(len(ties)), "place": order[ties]})
    with warehouse.scratch("wanted", wanted) as name:
        names = warehouse.query(
            exp.select("w.nth", "r.message_id")
            .from_(exp.to_table(name).as_("w"))
            .join(exp.to_table(table).as_("r"), using="place")
        )
    tied = pa.table(
        {"at": ordered[ties][integers(names, "nth")], "message_id": names["message_id"], "nth": names["nth"]}
    ).sort_by([("at", "ascending"), ("message_id", "ascending")])
    order[ties] = order[ties[integers(tied, "nth")]]
    return order


def integers(table: pa.Table, name: str) -> Ints:
    """One column of whole numbers, none of them missing, as an array.

    Args:
        table: the rows.
        name: the column's name.
    """
    # Arrow's own to_numpy would import pandas, where that is installed
    return np.from_dlpack(table[name].combine_chunks()).astype(np.int64)
