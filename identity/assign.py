"""Write who is who: replace what a resolve looked at, follow it on the events, and keep the history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from sqlglot import exp

from identity.attribution import follow_subjects
from identity.graph import Graph
from identity.link_log import Coded, integers
from identity.links import Ints
from identity.overrides import Override
from identity.privacy.vault import Vault
from identity.store.warehouse import Warehouse
from identity.tables import instant, temporary

__all__ = ["Assigned", "Changes", "answer", "assign"]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The graph of some rows.

    Attributes:
        graph: its answer.
        stands_for: identifier code → the one that it is another name of, or itself.
        component_of: identifier code → component, also of what was split off.
        first_rows: component → its first row, or -1.
        moved: row → identifier to whose profile its events belong, where that is not their own first one.
        apart: the overrides that keep pairs apart, in the order of the graph's pairs.
    """

    graph: Graph
    stands_for: Ints
    component_of: Ints
    first_rows: Ints
    moved: dict[int, int]
    apart: tuple[Override, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Which profiles a resolve changed; new ones, and new identifiers of old ones, don't count.

    Attributes:
        merged: profiles whose identifiers went to an older profile, or together to a new one.
        split: profiles whose identifiers are now in several.
        moved: identifiers that changed their profile.
        touched: ids of the profiles, as they were before, that lost or gained identifiers of another.
    """

    merged: int
    split: int
    moved: int
    touched: tuple[str, ...]


def assign(
    warehouse: Warehouse, vault: Vault, coded: Coded, linked: Assigned, at: datetime, *, everything: bool
) -> Changes:
    """Store a graph in place of what the same components had before.

    Args:
        warehouse: holds the temporary tables that the rows were coded from.
        vault: gives profile ids.
        coded: the rows.
        linked: their graph.
        at: the instant of this resolve, UTC.
        everything: True when all components were looked at, False for those in `resolve_dirty`.
    """
    _keep_before(warehouse, everything=everything)
    answer(warehouse, vault, coded, linked)
    _store_links(warehouse, coded, everything=everything)
    _replace(warehouse, coded, everything=everything)
    _keep_history(warehouse, at)
    return _changes(warehouse)


def _keep_before(warehouse: Warehouse, *, everything: bool) -> None:
    dirty = exp.column("component").isin(query=exp.select("component").from_("resolve_dirty"))
    for name, table in (("resolve_before", "identifier_profiles"), ("resolve_merges_before", "merges")):
        query = exp.select("*").from_(table)
        warehouse.execute(temporary(name, query if everything else query.where(dirty.copy())))


def answer(warehouse: Warehouse, vault: Vault, coded: Coded, linked: Assigned) -> None:
    """Fill `resolve_answers`, `resolve_profiles`, `resolve_merges` and `resolve_moved`; store nothing.

    Args:
        warehouse: holds the temporary tables that the rows were coded from.
        vault: gives profile ids.
        coded: the rows.
        linked: their graph.
    """
    graph = linked.graph
    merges = graph.merges
    rows, where = np.unique(
        np.concatenate([graph.founders, merges.from_founder, merges.into_founder]), return_inverse=True
    )
    names = _message_ids(warehouse, coded, coded.places[rows])
    ids = vault.profile_ids(names)
    profile_ids = ids[where[: len(graph.founders)]]
    shared = np.flatnonzero(graph.founder_codes >= 0)
    if len(shared):
        tokens = _identifier_ids(warehouse, graph.founder_codes[shared])
        own = [names[where[number]] for number in shared.tolist()]
        profile_ids[shared] = vault.profile_ids(
            [f"{name}\0{token}" for name, token in zip(own, tokens, strict=True)]
        )

    founded = np.full(len(coded.places), -1, dtype=np.int64)
    first = graph.founder_codes < 0
    founded[graph.founders[first]] = np.flatnonzero(first)
    named = np.zeros(len(linked.first_rows), dtype=np.int64)
    used = linked.first_rows >= 0
    numbers = np.ascontiguousarray(profile_ids[:, :8]).view(">i8").ravel().astype(np.int64)
    named[used] = numbers[founded[linked.first_rows[used]]]

    seen = np.zeros(len(coded.types), dtype=bool)
    seen[coded.links.codes] = True
    codes = np.flatnonzero(seen)
    of = graph.profile_of[linked.stands_for[codes]]
    answers = pa.table(
        {
            "code": codes,
            "profile_id": _uuids(profile_ids, of),
            "component": named[linked.component_of[codes]],
        }
    )
    with warehouse.scratch("answers", answers) as name:
        warehouse.execute(
            temporary(
                "resolve_answers",
                exp.select("n.identifier_id", "a.profile_id", "a.component")
                .from_(exp.to_table(name).as_("a"))
                .join("resolve_nodes AS n", using="code"),
            )
        )
    every = np.arange(len(graph.founders))
    founders = pa.table({"profile_id": _uuids(profile_ids, every), "place": coded.places[graph.founders]})
    with warehouse.scratch("founders", founders) as name:
        warehouse.execute(
            temporary(
                "resolve_profiles",
                exp.select(
                    "f.profile_id", "r.message_id", "r.occurred_at", "r.last_occurred_at", "r.received_at"
                )
                .from_(exp.to_table(name).as_("f"))
                .join(exp.to_table(coded.table).as_("r"), using="place"),
            )
        )
    ended, went_on = np.split(where[len(graph.founders) :], 2)
    causes = pa.table(
        {
            "from_profile": _uuids(ids, ended),
            "to_profile": _uuids(ids, went_on),
            "place": coded.places[merges.cause],
            "component": named[linked.component_of[coded.links.codes[coded.links.offsets[merges.cause]]]],
        }
    )
    with warehouse.scratch("causes", causes) as name:
        warehouse.execute(
            temporary(
                "resolve_merges",
                exp.select("c.from_profile", "c.to_profile", "r.message_id", "r.occurred_at", "c.component")
                .from_(exp.to_table(name).as_("c"))
                .join(exp.to_table(coded.table).as_("r"), using="place"),
            )
        )
    moved = pa.table(
        {
            "place": coded.places[np.array(list(linked.moved), dtype=np.int64)],
            "code": np.array(list(linked.moved.values()), dtype=np.int64),
        }
    )
    with warehouse.scratch("moved", moved) as name:
        warehouse.execute(
            temporary(
                "resolve_moved",
                exp.select("m.place", "n.identifier_id")
                .from_(exp.to_table(name).as_("m"))
                .join("resolve_nodes AS n", using="code"),
            )
        )


def _message_ids(warehouse: Warehouse, coded: Coded, places: Ints) -> list[str]:
    wanted = pa.table({"nth": np.arange(len(places)), "place": places})
    with warehouse.scratch("wanted", wanted) as name:
        found = warehouse.query(
            exp.select("w.nth", "r.message_id")
            .from_(exp.to_table(name).as_("w"))
            .join(exp.to_table(coded.table).as_("r"), using="place")
        )
    order = np.empty(len(places), dtype=np.int64)
    order[integers(found, "nth")] = np.arange(len(places))
    return list(found["message_id"].take(pa.array(order)).to_pylist())


def _identifier_ids(warehouse: Warehouse, codes: Ints) -> list[str]:
    wanted = pa.table({"nth": np.arange(len(codes)), "code": codes})
    with warehouse.scratch("wanted", wanted) as name:
        found = warehouse.query(
            exp.select("n.identifier_id")
            .from_(exp.to_table(name).as_("w"))
            .join("resolve_nodes AS n", using="code")
            .order_by("w.nth")
        )
    return list(found["identifier_id"].to_pylist())


def _uuids(ids: np.ndarray, of: Ints) -> pa.Array:
    """Sixteen bytes each as UUIDs; -1 is NULL."""
    storage = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids))]
    )
    return pa.ExtensionArray.from_storage(pa.uuid(), storage.take(pa.array(of, mask=of < 0)))


def _store_links(warehouse: Warehouse, coded: Coded, *, everything: bool) -> None:
    """Replace the link log's rows, and point events at the profile that they were sent to, or back."""
    rows = (
        exp.select()
        .from_(exp.to_table(coded.table).as_("r"))
        .join(
            "resolve_moved AS m", on=exp.column("place", "r").eq(exp.column("place", "m")), join_type="left"
        )
    )
    elsewhere = rows.select(
        "r.identifiers",
        "r.occurred_at",
        "r.last_occurred_at",
        exp.func("coalesce", exp.column("identifier_id", "m"), exp.column("subject", "r")).as_("subject"),
    ).where("r.moved_to IS NOT NULL OR m.identifier_id IS NOT NULL")
    warehouse.execute(temporary("resolve_elsewhere", elsewhere))
    if everything:
        warehouse.execute(
            exp.update(
                "links",
                {"moved_to": exp.column("identifier_id", "resolve_moved")},
                from_="resolve_moved",
                where=exp.column("place", "links").eq(exp.column("place", "resolve_moved")),
            )
        )
    else:
        _replace_links(warehouse, rows)
    if not warehouse.query(exp.select("subject").from_("resolve_elsewhere").limit(1)).num_rows:
        return
    warehouse.execute(
        temporary(
            "resolve_subjects",
            exp.select("e.message_id", "w.subject")
            .from_("events AS e")
            .join(
                "resolve_elsewhere AS w",
                on="e.identifiers = w.identifiers "
                "AND e.occurred_at BETWEEN w.occurred_at AND w.last_occurred_at",
            ),
        )
    )
    follow_subjects(warehouse, "resolve_subjects")


def _replace_links(warehouse: Warehouse, rows: exp.Select) -> None:
    before = exp.select("identifier_id").from_("resolve_before")
    warehouse.execute(exp.delete("links").where(exp.column("subject").isin(query=before)))
    last = warehouse.query(exp.select(exp.Max(this=exp.column("place")).as_("n")).from_("links"))
    numbered = exp.column("place", "r") + exp.Literal.number((last["n"][0].as_py() or 0) + 1)
    columns = {
        "place": numbered,
        "identifiers": exp.column("identifiers", "r"),
        "subject": exp.column("subject", "r"),
        "moved_to": exp.column("identifier_id", "m"),
        "occurred_at": exp.column("occurred_at", "r"),
        "message_id": exp.column("message_id", "r"),
        "last_occurred_at": exp.column("last_occurred_at", "r"),
        "received_at": exp.column("received_at", "r"),
    }
    warehouse.execute(exp.insert(rows.select(*columns.values()), "links", columns=list(columns)))


def _replace(warehouse: Warehouse, coded: Coded, *, everything: bool) -> None:
    seen = (
        exp.select("a.profile_id")
        .select(
            exp.Min(this=exp.column("received_at", "r")).as_("first_seen_at"),
            exp.Max(this=exp.column("last_occurred_at", "r")).as_("last_seen_at"),
        )
        .from_(exp.to_table(coded.table).as_("r"))
        .join("resolve_moved AS m", on="m.place = r.place", join_type="left")
        .join("resolve_answers AS a", on="a.identifier_id = coalesce(m.identifier_id, r.subject)")
        .where("a.profile_id IS NOT NULL")
        .group_by("a.profile_id")
    )
    # a profile that no event is of, since each that carries it is another's, was seen when it was founded
    profiles = (
        exp.select("p.profile_id")
        .select(
            exp.func("coalesce", exp.column("first_seen_at", "s"), exp.column("received_at", "p")),
            exp.func("coalesce", exp.column("last_seen_at", "s"), exp.column("last_occurred_at", "p")),
        )
        .from_("resolve_profiles AS p")
        .join(seen.subquery("s"), on="s.profile_id = p.profile_id", join_type="left")
    )
    merges = exp.select(
        "from_profile", "to_profile", "message_id", exp.column("occurred_at").as_("merged_at"), "component"
    ).from_("resolve_merges")
    former = exp.select("profile_id").from_("resolve_before").where("profile_id IS NOT NULL")
    dirty = exp.select("component").from_("resolve_dirty")
    for table, query, key, old in (
        ("profiles", profiles, "profile_id", former),
        ("identifier_profiles", exp.select("*").from_("resolve_answers"), "component", dirty),
        ("merges", merges, "component", dirty),
    ):
        gone = exp.delete(table)
        warehouse.execute(gone if everything else gone.where(exp.column(key).isin(query=old.copy())))
        warehouse.execute(exp.insert(query, table))


def _keep_history(warehouse: Warehouse, at: datetime) -> None:
    """Append what is different from before."""
    resolved_at = instant(at).as_("resolved_at")
    warehouse.execute(
        exp.insert(
            exp.select(
                exp.func("coalesce", exp.column("identifier_id", "a"), exp.column("identifier_id", "b")),
                "a.profile_id",
                resolved_at,
            )
            .from_("resolve_answers AS a")
            .join("resolve_before AS b", on="a.identifier_id = b.identifier_id", join_type="full")
            .where("a.profile_id IS DISTINCT FROM b.profile_id"),
            "identifier_updates",
        )
    )
    former = exp.select("profile_id").from_("resolve_before").where("profile_id IS NOT NULL")
    living = exp.select("profile_id").from_("resolve_profiles")
    born = (
        exp.select("profile_id", exp.column("profile_id").as_("canonical_id"), "message_id", "occurred_at")
        .select(resolved_at)
        .from_("resolve_profiles")
        .where(exp.column("profile_id").isin(query=former).not_())
    )
    merged = (
        exp.select("m.from_profile", "m.to_profile", "m.message_id", "m.occurred_at", resolved_at)
        .from_("resolve_merges AS m")
        .join(
            "resolve_merges_before AS b",
            on="m.from_profile = b.from_profile AND m.to_profile = b.to_profile "
            "AND m.message_id = b.message_id",
            join_type="left",
        )
        .where("b.message_id IS NULL")
    )
    shares = (
        exp.select("b.profile_id", "a.profile_id AS canonical_id", "count(*) AS shared")
        .from_("resolve_before AS b")
        .join("resolve_answers AS a", on="a.identifier_id = b.identifier_id", join_type="left")
        .where("b.profile_id IS NOT NULL")
        .where(exp.column("profile_id", "b").isin(query=living).not_())
        .where(
            exp.column("profile_id", "b")
            .isin(query=exp.select("from_profile").from_("resolve_merges"))
            .not_()
        )
        .group_by("b.profile_id", "a.profile_id")
    )
    ranked = exp.select(
        "*",
        "row_number() OVER (PARTITION BY profile_id ORDER BY shared DESC, canonical_id NULLS LAST) AS nth",
    ).from_(shares.subquery("s"))
    renamed = (
        exp.select("k.profile_id", "k.canonical_id", "p.message_id", "p.occurred_at", resolved_at)
        .from_(ranked.subquery("k"))
        .join("resolve_profiles AS p", on="p.profile_id = k.canonical_id", join_type="left")
        .where("k.nth = 1")
    )
    for query in (born, merged, renamed):
        warehouse.execute(exp.insert(query, "graph_updates"))


def _changes(warehouse: Warehouse) -> Changes:
    kept = (
        exp.select("b.profile_id AS former", "a.profile_id AS now", "count(*) AS shared")
        .from_("resolve_before AS b")
        .join("resolve_answers AS a", on="a.identifier_id = b.identifier_id", join_type="left")
        .where("b.profile_id IS NOT NULL")
        .group_by("b.profile_id", "a.profile_id")
    )
    warehouse.execute(temporary("resolve_kept", kept))
    of_now = exp.select("now", "count(*) AS n").from_("resolve_kept").where("now IS NOT NULL").group_by("now")
    of_former = exp.select("former", "count(*) AS n").from_("resolve_kept").group_by("former")

    def number(what: str, query: exp.Select) -> int:
        found = warehouse.query(exp.select(what).from_(query.subquery("q")))
        return int(found[0][0].as_py() or 0)

    crowded = of_now.having("count(*) > 1")
    apart = of_former.having("count(*) > 1")
    touched = warehouse.query(
        exp.select("former")
        .distinct()
        .from_("resolve_kept")
        .where(
            exp.or_(
                exp.condition("now IS DISTINCT FROM former"),
                exp.column("now").isin(query=exp.select("now").from_(crowded.subquery("c"))),
            )
        )
        .order_by("former")
    )
    moved = exp.select("shared").from_("resolve_kept").where("now IS DISTINCT FROM former")
    return Changes(
        merged=number("sum(n - 1)", crowded),
        split=number("count(*)", apart),
        moved=number("sum(shared)", moved),
        touched=tuple(touched["former"].to_pylist()),
    )
