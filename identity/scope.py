"""What a resolve has to look at again: everything, or the components that something touched.

New events touch the components of their identifiers; a changed blocked value those of the events that carry
it; a changed limit those that break it; an override those of its two identifiers. Where types, their order,
the conflict rule or caps changed, or a limit became windowed, everything is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pyarrow as pa
from sqlglot import exp

from identity.attribution import follow_subjects
from identity.identifiers import IdentityRules, is_blocked
from identity.overrides import Override
from identity.privacy.vault import Vault
from identity.store.warehouse import Warehouse
from identity.tables import get_setting, set_setting, temporary

__all__ = ["Scope", "find_scope", "remember_rules", "settle_rules"]

_MIXED = "mixed"
"""Stands for the rules under which events came in, when they were not all the same."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to resolve.

    Attributes:
        everything: True for all events; False for the components in the temporary table `resolve_dirty`.
        relisted: True when the lists of the events in `resolve_relisted` must be read from the events again.
    """

    everything: bool
    relisted: bool


def remember_rules(warehouse: Warehouse, vault: Vault, rules: IdentityRules) -> None:
    """Note under which rules events come in, so that a resolve knows whether to choose subjects again.

    Args:
        warehouse: where the events go.
        vault: makes the fingerprint of blocked values.
        rules: the project's identity rules.
    """
    now = _text(vault, rules)
    known = get_setting(warehouse, "ingested_rules")
    if known != now:
        set_setting(warehouse, "ingested_rules", now if known is None else _MIXED)


def settle_rules(
    warehouse: Warehouse, vault: Vault, rules: IdentityRules, overrides: Sequence[Override]
) -> None:
    """Note what was resolved with."""
    set_setting(warehouse, "ingested_rules", _text(vault, rules))
    set_setting(warehouse, "resolved_rules", _text(vault, rules))
    set_setting(warehouse, "resolved_overrides", json.dumps(_facts(overrides)))


def find_scope(
    warehouse: Warehouse, vault: Vault, rules: IdentityRules, overrides: Sequence[Override]
) -> Scope:
    """Bring stored blocks and subjects in line with the rules, and find what has to be resolved.

    Args:
        warehouse: holds the events.
        vault: opens personal identifiers when blocked values changed.
        rules: the project's identity rules.
        overrides: those that hold.

    Raises:
        SealError: blocked values changed, and a sealed identifier can't be opened.
    """
    now = _text(vault, rules)
    before = get_setting(warehouse, "resolved_rules")
    ingested = get_setting(warehouse, "ingested_rules")
    stale = ingested not in (None, now)
    old, new = json.loads(before or "{}"), json.loads(now)
    flipped = []
    if ingested == _MIXED or (stale and json.loads(ingested or now)["blocked"] != new["blocked"]):
        flipped = _block_again(warehouse, vault, rules)
    if before is None or _shape(old) != _shape(new):
        if stale:
            _choose_subjects(warehouse, rules, everywhere=True)
        return Scope(everything=True, relisted=False)
    changed = _changed(json.loads(get_setting(warehouse, "resolved_overrides") or "[]"), _facts(overrides))
    again = [*flipped, *(each for _, kind, *pair, _ in changed if kind == "split" for each in pair)]
    if again:
        _relist(warehouse, again)
    if ingested == _MIXED:
        _choose_subjects(warehouse, rules, everywhere=True)
    elif again:
        _choose_subjects(warehouse, rules, everywhere=False)
    named = [each for _, _, *pair, _ in changed for each in pair]
    _mark_dirty(warehouse, [*again, *named], _tightest(old["types"], new["types"]), relisted=bool(again))
    return Scope(everything=False, relisted=bool(again))


def _text(vault: Vault, rules: IdentityRules) -> str:
    """The rules as JSON, without the blocked values, which may be somebody's."""
    by_type = [[each.name, sorted(each.blocked)] for each in rules.types if each.blocked]
    blocked = json.dumps([sorted(rules.blocked), list(rules.blocked_patterns), by_type])
    return json.dumps(
        {
            "types": [[each.name, each.limit, each.window, each.unique] for each in rules.types],
            "blocked": str(vault.token("identity rules", blocked)),
            "conflict": rules.conflict,
            "caps": [rules.max_merges, rules.max_identifiers],
        }
    )


def _shape(rules: dict[str, Any]) -> object:
    """What touches every component when it changes."""
    types = rules.get("types", ())
    windowed = any(window != "ever" for _, _, window, _ in types)
    return [[name for name, *_ in types], windowed, rules.get("conflict"), rules.get("caps")]


def _facts(overrides: Sequence[Override]) -> list[list[Any]]:
    return [
        [each.number, each.kind, each.identifier, each.other, each.decided_at.isoformat()]
        for each in overrides
    ]


def _changed(before: list[list[Any]], now: list[list[Any]]) -> list[list[Any]]:
    return [each for each in before if each not in now] + [each for each in now if each not in before]


def _tightest(before: list[list[Any]], now: list[list[Any]]) -> dict[str, int]:
    """Type whose limit, window or uniqueness changed → the number above which a component can feel it."""
    return {
        name: 1 if unique != was_unique else min(limit, was)
        for (name, limit, window, unique), (_, was, was_window, was_unique) in zip(now, before, strict=True)
        if (limit, window, unique) != (was, was_window, was_unique)
    }


def _block_again(warehouse: Warehouse, vault: Vault, rules: IdentityRules) -> list[str]:
    """Bring blocks in line with the rules; return the identifiers for which that changed something."""
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
        blocked = is_blocked(row["type"], value, rules)
        if blocked != row["blocked"]:
            changed.append({"changed_id": row["identifier_id"], "now_blocked": blocked})
    if changed:
        with warehouse.scratch("changed", pa.Table.from_pylist(changed)) as name:
            warehouse.execute(
                exp.update(
                    "identifiers",
                    {"blocked": exp.column("now_blocked")},
                    from_=name,
                    where=exp.column("identifier_id").eq(exp.cast(exp.column("changed_id"), "UUID")),
                )
            )
    return [str(row["changed_id"]) for row in changed]


def _relist(warehouse: Warehouse, identifiers: Sequence[str]) -> None:
    """Find the events whose lists must be read again: those that carry one of some identifiers."""
    rows = pa.table({"identifier_id": pa.array(identifiers, pa.string())})
    carried = exp.select(
        "message_id", exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id")
    ).from_("events")
    with warehouse.scratch("wanted", rows) as name:
        wanted = exp.select(exp.cast(exp.column("identifier_id"), "UUID")).from_(name)
        query = (
            exp.select("message_id")
            .distinct()
            .from_(carried.subquery("e"))
            .where(exp.column("identifier_id").isin(query=wanted))
        )
        warehouse.execute(temporary("resolve_relisted", query))


def _mark_dirty(
    warehouse: Warehouse, named: Sequence[str], tightest: dict[str, int], *, relisted: bool
) -> None:
    """Find the components that new events, events read again, overrides or changed limits touch."""
    unnested = exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id")
    limits = pa.table(
        {
            "type": pa.array(list(tightest), pa.string()),
            "tightest": pa.array(list(tightest.values()), pa.int64()),
        }
    )
    with (
        warehouse.scratch("named", pa.table({"identifier_id": pa.array(named, pa.string())})) as name,
        warehouse.scratch("tightest", limits) as limit,
    ):
        seeds = exp.union(
            exp.select(unnested).from_("arrivals"),
            exp.select(exp.cast(exp.column("identifier_id"), "UUID")).from_(name),
        )
        if relisted:
            again = exp.column("message_id").isin(query=exp.select("message_id").from_("resolve_relisted"))
            seeds = exp.union(seeds, exp.select(unnested.copy()).from_("events").where(again))
        touched: exp.Query = (
            exp.select("component")
            .from_("identifier_profiles")
            .where(
                exp.column("identifier_id").isin(query=exp.select("identifier_id").from_(seeds.subquery("s")))
            )
        )
        if tightest:
            crowded = (
                exp.select("m.component")
                .from_("identifier_profiles AS m")
                .join("identifiers AS i", using="identifier_id")
                .join(exp.to_table(limit).as_("t"), on="t.type = i.type")
                .group_by("m.component", "i.type")
                .having("count(*) > min(t.tightest)")
            )
            touched = exp.union(touched, crowded)
        warehouse.execute(
            temporary("resolve_dirty", exp.select("component").distinct().from_(touched.subquery("t")))
        )


def _choose_subjects(warehouse: Warehouse, rules: IdentityRules, *, everywhere: bool) -> None:
    """Make each event's highest-priority unblocked identifier its subject, and its traits' as well."""
    ranks = pa.table({"type": [each.name for each in rules.types], "rank": list(range(len(rules.types)))})
    relisted = exp.column("message_id").isin(query=exp.select("message_id").from_("resolve_relisted"))
    spread = exp.select(
        "message_id",
        exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id"),
        exp.Anonymous(
            this="generate_subscripts", expressions=[exp.column("identifiers"), exp.Literal.number(1)]
        ).as_("place"),
    ).from_("events")
    if not everywhere:
        spread = spread.where(relisted)
    order = exp.Tuple(expressions=[exp.column("rank", "r"), exp.column("place", "e")])
    with warehouse.scratch("ranks", ranks) as name:
        first = exp.ArgMin(this=exp.column("identifier_id", "e"), expression=order)
        may_link = exp.Where(this=exp.condition("r.rank IS NOT NULL"))
        chosen = (
            exp.select("e.message_id")
            .select(exp.Filter(this=first, expression=may_link).as_("subject"))
            .from_(spread.subquery("e"))
            .join(
                "identifiers AS i",
                on="i.identifier_id = e.identifier_id AND NOT i.blocked",
                join_type="left",
            )
            .join(exp.to_table(name).as_("r"), on="r.type = i.type", join_type="left")
            .group_by("e.message_id")
        )
        warehouse.execute(temporary("resolve_chosen", chosen))
    follow_subjects(warehouse, "resolve_chosen")
    # events that wait for their first resolve carry their subject with them
    warehouse.execute(
        exp.update(
            "arrivals",
            {"subject": exp.column("subject", "events")},
            from_="events",
            where=exp.column("message_id", "arrivals").eq(exp.column("message_id", "events")),
        )
    )
