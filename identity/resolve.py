"""Resolve: from the events' identifiers to profiles, in the warehouse.

The graph's rules are in `identity.graph`; here its input is gathered and its answer stored. The answer is a
function of the set of events and the identity rules, so it is written anew as a whole; events are not
touched, but for the few whose own identifiers were all refused by a cap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from identity.graph import Graph, GraphRules, Links, resolve_graph
from identity.identifiers import IdentityRules, is_blocked
from identity.privacy.vault import Vault
from identity.store.warehouse import Warehouse
from identity.tables import get_setting, set_setting

__all__ = ["ResolveReport", "resolve", "unresolved_events"]

_DAY = 86_400_000_000
_WINDOWS = {"ever": None, "weekly": 7 * _DAY, "monthly": 30 * _DAY, "annually": 365 * _DAY}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the warehouse holds naive UTC
_INSTANT = pa.timestamp("us")
_FORGOTTEN = -1  # code of a type that the rules no longer name


@dataclass(frozen=True, slots=True)
class ResolveReport:
    """What a resolve found.

    Attributes:
        events: events looked at.
        unattributed: events whose identifiers are all blocked, so that they belong to nobody.
        identifiers: identifiers that point to a profile.
        blocked: identifiers that never link.
        profiles: profiles.
        merges: profiles that were merged into another.
    """

    events: int
    unattributed: int
    identifiers: int
    blocked: int
    profiles: int
    merges: int


def unresolved_events(warehouse: Warehouse) -> int:
    """Count the events that came in since the last resolve.

    Args:
        warehouse: an open warehouse with its tables.
    """
    return _count(warehouse, "events") - int(get_setting(warehouse, "resolved_events") or 0)


def resolve(warehouse: Warehouse, vault: Vault, rules: IdentityRules) -> ResolveReport:
    """Work out who is who, and store it; runs in the caller's transaction when there is one.

    Args:
        warehouse: holds the events.
        vault: gives profile ids, and opens personal identifiers when blocked values changed.
        rules: the project's identity rules.

    Raises:
        SealError: blocked values changed, and a sealed identifier can't be opened.
    """
    with warehouse.transaction():
        _apply_rules(warehouse, vault, rules)
        known = warehouse.query(
            exp.select("identifier_id", "type", "blocked").from_("identifiers").order_by("identifier_id")
        )
        windowed = any(each.window != "ever" for each in rules.types)
        lists = _identifier_lists(warehouse, every_event=windowed)
        codes = {each.name: code for code, each in enumerate(rules.types)}
        types = np.array([codes.get(name, _FORGOTTEN) for name in known["type"].to_pylist()], dtype=np.int64)
        links, kept = _links(lists, known, types)
        graph = resolve_graph(links, types, _graph_rules(rules))
        ids = known["identifier_id"].to_pylist()
        _store(warehouse, vault, graph, links, ids)
        _reassign(warehouse, graph, links, lists.take(pa.array(kept)), ids, by_event=windowed)
        _store_profiles(warehouse)
        events = _count(warehouse, "events")
        set_setting(warehouse, "resolved_events", str(events))
    blocked = known["blocked"].to_pylist().count(True)
    return ResolveReport(
        events=events,
        unattributed=_count(warehouse, "events", exp.column("subject").is_(exp.null())),
        identifiers=int((graph.profile_of >= 0).sum()),
        blocked=blocked,
        profiles=_count(warehouse, "profiles"),
        merges=len(graph.merges),
    )


def _graph_rules(rules: IdentityRules) -> GraphRules:
    return GraphRules(
        limits=tuple(each.limit for each in rules.types),
        windows=tuple(_WINDOWS[each.window] for each in rules.types),
        priorities=tuple(range(1, len(rules.types) + 1)),
        unique=tuple(each.unique for each in rules.types),
        conflict=rules.conflict,
    )


def _identifier_lists(warehouse: Warehouse, *, every_event: bool) -> pa.Table:
    """The distinct identifier lists with their first event, or every event's own when windows count them."""
    base = exp.select("identifiers").from_("events")
    if every_event:
        return warehouse.query(
            base.select("message_id", "occurred_at", exp.column("occurred_at").as_("last_occurred_at"))
        )
    order = exp.Tuple(expressions=[exp.column("occurred_at"), exp.column("message_id")])
    return warehouse.query(
        base.select(
            exp.ArgMin(this=exp.column("message_id"), expression=order).as_("message_id"),
            exp.Min(this=exp.column("occurred_at")).as_("occurred_at"),
            exp.Max(this=exp.column("occurred_at")).as_("last_occurred_at"),
        ).group_by("identifiers")
    )


def _links(lists: pa.Table, known: pa.Table, types: np.ndarray) -> tuple[Links, np.ndarray]:
    """Code the lists, by priority, without identifiers that can't link; also say which rows are left."""
    column = lists["identifiers"].combine_chunks()
    flat = pc.index_in(column.flatten(), value_set=known["identifier_id"].combine_chunks())
    codes = np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.int64)
    lengths = np.asarray(pc.list_value_length(column).to_numpy(zero_copy_only=False), dtype=np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    blocked = np.asarray(known["blocked"].to_numpy(), dtype=bool)
    usable = ~blocked[codes] & (types[codes] != _FORGOTTEN)
    rows, codes = rows[usable], codes[usable]
    codes = codes[np.lexsort((types[codes], rows))]
    kept, counts = np.unique(rows, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    chosen = lists.take(pa.array(kept))
    return (
        Links(
            offsets=offsets,
            codes=codes,
            occurred_at=_microseconds(chosen["occurred_at"]),
            message_ids=chosen["message_id"].to_pylist(),
            last_occurred_at=_microseconds(chosen["last_occurred_at"]),
        ),
        kept,
    )


def _microseconds(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(_INSTANT).cast(pa.int64()).to_numpy(), dtype=np.int64)


def _store(warehouse: Warehouse, vault: Vault, graph: Graph, links: Links, ids: Sequence[str]) -> None:
    founders = [
        str(_profile_id(vault, links.message_ids[int(row)], "" if code < 0 else ids[int(code)]))
        for row, code in zip(graph.founders, graph.founder_codes, strict=True)
    ]
    linked = np.flatnonzero(graph.profile_of >= 0)
    warehouse.execute(exp.delete("identifier_profiles"))
    warehouse.append(
        "identifier_profiles",
        pa.table(
            {
                "identifier_id": pa.array([ids[int(code)] for code in linked], pa.string()),
                "profile_id": pa.array(
                    [founders[int(graph.profile_of[code])] for code in linked], pa.string()
                ),
            }
        ),
    )
    warehouse.execute(exp.delete("merges"))

    def profile(row: int) -> str:
        return str(vault.profile_id(links.message_ids[int(row)]))

    at = [_EPOCH + timedelta(microseconds=int(links.occurred_at[merge.cause])) for merge in graph.merges]
    warehouse.append(
        "merges",
        pa.table(
            {
                "from_profile": pa.array(
                    [profile(merge.from_founder) for merge in graph.merges], pa.string()
                ),
                "to_profile": pa.array([profile(merge.into_founder) for merge in graph.merges], pa.string()),
                "message_id": pa.array(
                    [links.message_ids[merge.cause] for merge in graph.merges], pa.string()
                ),
                "merged_at": pa.array(at, _INSTANT),
            }
        ),
    )


def _profile_id(vault: Vault, message_id: str, identifier_id: str) -> UUID:
    """The id of a profile by its first event, and by its own identifier when that event is another's."""
    return vault.profile_id(f"{message_id}\0{identifier_id}" if identifier_id else message_id)


def _reassign(
    warehouse: Warehouse,
    graph: Graph,
    links: Links,
    lists: pa.Table,
    ids: Sequence[str],
    *,
    by_event: bool,
) -> None:
    """Point the events of lists that a cap or a limit sent elsewhere at the profile that they belong to."""
    first = links.codes[links.offsets[:-1]] if len(links.offsets) > 1 else np.zeros(0, dtype=np.int64)
    moved = np.flatnonzero(graph.subjects != first)
    set_setting(warehouse, "reassigned", str(len(moved)))
    if not len(moved):
        return
    key = "message_id" if by_event else "identifiers"
    subjects = [ids[code] if code >= 0 else None for code in graph.subjects[moved]]
    rows = pa.table(
        {"moved_key": lists[key].take(pa.array(moved)), "moved_to": pa.array(subjects, pa.string())}
    )
    kind = "TEXT" if by_event else "UUID[]"
    with warehouse.scratch("moved", rows) as name:
        warehouse.execute(
            exp.update(
                "events",
                {"subject": exp.cast(exp.column("moved_to"), "UUID")},
                from_=name,
                where=exp.column(key).eq(
                    exp.cast(exp.column("moved_key"), exp.DataType.build(kind, dialect="duckdb"))
                ),
            )
        )
    _follow_events(warehouse)


def _store_profiles(warehouse: Warehouse) -> None:
    seen = (
        exp.select("subject")
        .select(
            exp.Min(this=exp.column("received_at")).as_("received_at"),
            exp.Max(this=exp.column("occurred_at")).as_("occurred_at"),
        )
        .from_("events")
        .group_by("subject")
    )
    profiles = (
        exp.select("m.profile_id")
        .select(
            exp.Min(this=exp.column("received_at", "s")).as_("first_seen_at"),
            exp.Max(this=exp.column("occurred_at", "s")).as_("last_seen_at"),
        )
        .from_(seen.subquery("s"))
        .join("identifier_profiles AS m", on="s.subject = m.identifier_id")
        .group_by("m.profile_id")
    )
    warehouse.execute(exp.delete("profiles"))
    warehouse.execute(
        exp.insert(profiles, "profiles", columns=["profile_id", "first_seen_at", "last_seen_at"])
    )


def _apply_rules(warehouse: Warehouse, vault: Vault, rules: IdentityRules) -> None:
    """Bring stored blocks and subjects in line when the rules changed since they were written."""
    fingerprint = _fingerprint(rules)
    before = get_setting(warehouse, "identity_rules")
    set_setting(warehouse, "identity_rules", fingerprint)
    changed = before not in (None, fingerprint)
    if changed:
        _block_again(warehouse, vault, rules)
    if changed or int(get_setting(warehouse, "reassigned") or 0):
        _choose_subjects(warehouse, rules)


def _fingerprint(rules: IdentityRules) -> str:
    text = json.dumps(
        [
            [[each.name, each.limit, each.window, each.personal, each.unique] for each in rules.types],
            sorted(rules.blocked),
            list(rules.blocked_patterns),
            rules.conflict,
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _block_again(warehouse: Warehouse, vault: Vault, rules: IdentityRules) -> None:
    rows = warehouse.query(
        exp.select("i.identifier_id", "i.type", "i.value", "i.blocked", "s.sealed")
        .from_("identifiers AS i")
        .join("sealed_values AS s", on="s.token = i.identifier_id", join_type="left")
    ).to_pylist()
    changed = []
    for row in rows:
        value = row["value"]
        if value is None:
            value = vault.open(row["type"], UUID(row["identifier_id"]), row["sealed"])
        blocked = is_blocked(value, rules)
        if blocked != row["blocked"]:
            changed.append({"changed_id": row["identifier_id"], "now_blocked": blocked})
    if not changed:
        return
    with warehouse.scratch("changed", pa.Table.from_pylist(changed)) as name:
        warehouse.execute(
            exp.update(
                "identifiers",
                {"blocked": exp.column("now_blocked")},
                from_=name,
                where=exp.column("identifier_id").eq(exp.cast(exp.column("changed_id"), "UUID")),
            )
        )


def _choose_subjects(warehouse: Warehouse, rules: IdentityRules) -> None:
    """Make each event's highest-priority unblocked identifier its subject."""
    ranks = pa.table({"type": [each.name for each in rules.types], "rank": list(range(len(rules.types)))})
    spread = exp.select(
        "message_id",
        exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id"),
        exp.Anonymous(
            this="generate_subscripts", expressions=[exp.column("identifiers"), exp.Literal.number(1)]
        ).as_("place"),
    ).from_("events")
    order = exp.Tuple(expressions=[exp.column("rank", "r"), exp.column("place", "e")])
    with warehouse.scratch("ranks", ranks) as name:
        chosen = (
            exp.select("e.message_id")
            .select(exp.ArgMin(this=exp.column("identifier_id", "e"), expression=order).as_("chosen_subject"))
            .from_(spread.subquery("e"))
            .join("identifiers AS i", on="i.identifier_id = e.identifier_id AND NOT i.blocked")
            .join(f"{name} AS r", on="r.type = i.type")
            .group_by("e.message_id")
        )
        warehouse.execute(exp.update("events", {"subject": exp.null()}))
        warehouse.execute(
            exp.update(
                "events",
                {"subject": exp.column("chosen_subject", "chosen")},
                from_=exp.From(this=chosen.subquery("chosen")),
                where=exp.column("message_id", "events").eq(exp.column("message_id", "chosen")),
            )
        )
    _follow_events(warehouse)


def _follow_events(warehouse: Warehouse) -> None:
    """Give trait changes the subject of the message that made them."""
    warehouse.execute(
        exp.update(
            "trait_changes",
            {"subject": exp.column("subject", "events")},
            from_="events",
            where=exp.column("message_id", "trait_changes").eq(exp.column("message_id", "events")),
        )
    )


def _count(warehouse: Warehouse, table: str, where: exp.Expr | None = None) -> int:
    query = exp.select(exp.Count(this=exp.Star()).as_("n")).from_(table)
    found = warehouse.query(query.where(where) if where is not None else query)
    return int(found["n"][0].as_py())
