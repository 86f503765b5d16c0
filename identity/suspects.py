"""Suspects: profiles that may be several people, identifiers that many share, types that make bad keys.

A steward's report. Nothing is changed: the way out is a blocked value, a limit, or an override.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from identity.component import as_graph, resolve_component
from identity.explanation import bridges_of
from identity.identifiers import IdentityRules
from identity.overrides import Override
from identity.privacy.vault import Vault
from identity.profiles import subjects_of
from identity.shown import ShownIdentifier, show_identifiers
from identity.store.warehouse import Warehouse
from identity.tables import temporary

__all__ = ["SharedIdentifier", "SuspectProfile", "Suspects", "TypeReport", "find_suspects"]

_MANY = 10
"""So many values of a type per person, or people per value, and it identifies nobody."""
_BIG = 25
"""Identifiers from which on a profile is worth a look."""
_STEADY = ("firstname", "lastname", "birthday", "birthdate", "dateofbirth", "dob", "gender", "sex")
"""Traits, written without case and punctuation, that a person seldom has two of."""


@dataclass(frozen=True, slots=True)
class TypeReport:
    """How good a key one identifier type is.

    Attributes:
        type: its name.
        identifiers: values seen.
        blocked: values that never link.
        left_out: values that every event had to leave out.
        values_per_person: distinct values a person, on average; None when never seen with a person's id.
        people_per_value: most people that one value was seen with; None likewise.
        shared: share of the values that were seen with several people, 0 to 1; None likewise.
        verdict: what to do about it.
    """

    type: str
    identifiers: int
    blocked: int
    left_out: int
    values_per_person: float | None
    people_per_value: int | None
    shared: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class SharedIdentifier:
    """An identifier that many share.

    Attributes:
        identifier: which one, masked.
        people: ids of persons that it was seen with.
        neighbours: identifiers that it was seen with.
        blocked: True when it is blocked already.
    """

    identifier: ShownIdentifier
    people: int
    neighbours: int
    blocked: bool


@dataclass(frozen=True, slots=True)
class SuspectProfile:
    """A profile that may be several people.

    Attributes:
        profile_id: its id.
        identifiers: how many it holds.
        reasons: what speaks for it, in words.
    """

    profile_id: str
    identifiers: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspects:
    """The report: types in order of priority, the others in order of suspicion."""

    types: tuple[TypeReport, ...]
    shared: tuple[SharedIdentifier, ...]
    profiles: tuple[SuspectProfile, ...]


def find_suspects(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override] = (),
    limit: int = 20,
) -> Suspects:
    """Look for over-merged profiles and bad keys, in what the last resolve stored.

    Args:
        warehouse: holds links, profiles and traits.
        vault: masks what is shown.
        rules: the project's identity rules; unique types count people.
        overrides: those that hold.
        limit: shared identifiers and profiles to name.
    """
    people = [each.name for each in rules.types if each.unique]
    _count_neighbours(warehouse, people)
    suspected = _profiles(warehouse, people, limit)
    bridges = _bridges(warehouse, vault, rules, overrides, [row["profile_id"] for row in suspected])
    return Suspects(
        _types(warehouse, rules, people),
        _shared(warehouse, vault, limit),
        tuple(
            SuspectProfile(
                row["profile_id"], row["identifiers"], (*_reasons(row), *bridges.get(row["profile_id"], ()))
            )
            for row in suspected
        ),
    )


def _bridges(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override],
    profile_ids: Sequence[str],
) -> dict[str, tuple[str, ...]]:
    """Profile → the link that alone holds most of it together, in words, if there is any."""
    anyone = [subjects_of(warehouse, profile_id)[0] for profile_id in profile_ids]
    if not anyone:
        return {}
    graph = as_graph(
        warehouse, resolve_component(warehouse, vault, rules, overrides, anyone), rules, overrides
    )
    widest: dict[str, tuple[tuple[int, int], tuple[str, str]]] = {}
    for bridge in bridges_of(graph):
        profile = graph.nodes[bridge[1][0]]["profile"]
        if profile in profile_ids:
            widest.setdefault(profile, bridge)
    shown = show_identifiers(warehouse, vault, [each for _, edge in widest.values() for each in edge])
    return {
        profile: (
            f"one link holds {sides[0]} and {sides[1]} identifiers together: "
            + " – ".join(f"{shown[each].type} {shown[each].value}" for each in edge),
        )
        for profile, (sides, edge) in widest.items()
    }


def _count_neighbours(warehouse: Warehouse, people: Sequence[str]) -> None:
    """Fill `suspect_pairs` with who was seen with whom, and `suspect_counts` with how many that makes."""
    carried = exp.select(
        "message_id", exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id")
    ).from_("links")
    listed = (
        exp.select("c.message_id", "c.identifier_id", "i.type", "i.blocked")
        .from_(carried.subquery("c"))
        .join("identifiers AS i", on="i.identifier_id = c.identifier_id")
    )
    warehouse.execute(temporary("suspect_listed", listed))
    person = exp.column("type", "o").isin(*people) if people else exp.false()
    pairs = (
        exp.select("l.identifier_id", "l.type", "o.identifier_id AS other")
        .select(exp.and_(person, exp.column("blocked", "o").not_()).as_("is_person"))
        .distinct()
        .from_("suspect_listed AS l")
        .join("suspect_listed AS o", on="o.message_id = l.message_id AND o.identifier_id <> l.identifier_id")
    )
    warehouse.execute(temporary("suspect_pairs", pairs))
    counts = (
        exp.select("identifier_id", "type", "count(*) AS neighbours")
        .select("count(*) FILTER (WHERE is_person) AS people")
        .from_("suspect_pairs")
        .group_by("identifier_id", "type")
    )
    warehouse.execute(temporary("suspect_counts", counts))


def _types(warehouse: Warehouse, rules: IdentityRules, people: Sequence[str]) -> tuple[TypeReport, ...]:
    seen = warehouse.query(
        exp.select("i.type", "count(*) AS identifiers", "count(*) FILTER (WHERE i.blocked) AS blocked")
        .select("count(*) FILTER (WHERE m.component IS NOT NULL AND m.profile_id IS NULL) AS left_out")
        .from_("identifiers AS i")
        .join("identifier_profiles AS m", on="m.identifier_id = i.identifier_id", join_type="left")
        .group_by("i.type")
    ).to_pylist()
    shared = warehouse.query(
        exp.select("type", "max(people) AS most", "avg(CASE WHEN people > 1 THEN 1.0 ELSE 0.0 END) AS shared")
        .select("count(*) FILTER (WHERE people >= 10) AS crowded")
        .from_("suspect_counts")
        .where("people > 0")
        .group_by("type")
    ).to_pylist()
    each_person = (
        exp.select("type", "other", "count(*) AS n")
        .from_("suspect_pairs")
        .where("is_person")
        .group_by("type", "other")
    )
    spread = warehouse.query(
        exp.select("type", "avg(n) AS mean").from_(each_person.subquery("e")).group_by("type")
    ).to_pylist()
    by_type = {row["type"]: row for row in seen}
    most = {row["type"]: row for row in shared}
    mean = {row["type"]: float(row["mean"]) for row in spread}
    reports = []
    for name in (each.name for each in rules.types if each.name in by_type):
        row, other = by_type[name], most.get(name)
        values = mean.get(name)
        reports.append(
            TypeReport(
                name,
                row["identifiers"],
                row["blocked"],
                row["left_out"],
                values,
                other and other["most"],
                other and float(other["shared"]),
                "a person's own id" if name in people else _verdict(values, other, people),
            )
        )
    return tuple(reports)


def _verdict(values_per_person: float | None, shared: dict[str, float] | None, people: Sequence[str]) -> str:
    if values_per_person is None or shared is None:
        return f"unknown: never seen with {' or '.join(people) or 'a unique type'}"
    if values_per_person >= _MANY:
        return f"reject: {values_per_person:.0f} values a person, so it changes too often to tell who is who"
    if shared["shared"] > 0.05:
        return (
            f"weak: {shared['shared']:.0%} of its values belong to several people; "
            "lower its limit, or leave it out of the rules"
        )
    if shared["crowded"]:
        return f"good, but block the {shared['crowded']:,} values that {_MANY} or more people share"
    return "good"


def _shared(warehouse: Warehouse, vault: Vault, limit: int) -> tuple[SharedIdentifier, ...]:
    rows = warehouse.query(
        exp.select("c.identifier_id", "c.people", "c.neighbours", "i.blocked")
        .from_("suspect_counts AS c")
        .join("identifiers AS i", on="i.identifier_id = c.identifier_id")
        .where("c.people > 2 OR c.neighbours >= 50")
        # ten values are as suspicious as one more person, as for types
        .order_by("c.people * 10 + c.neighbours DESC", "c.identifier_id")
        .limit(limit)
    ).to_pylist()
    shown = show_identifiers(warehouse, vault, [row["identifier_id"] for row in rows])
    return tuple(
        SharedIdentifier(
            shown[row["identifier_id"]],
            row["people"],
            row["neighbours"],
            row["blocked"],
        )
        for row in rows
    )


def _profiles(warehouse: Warehouse, people: Sequence[str], limit: int) -> list[dict[str, Any]]:
    own_id = exp.column("type", "i").isin(*people) if people else exp.false()
    held = (
        exp.select("m.profile_id", "count(*) AS identifiers")
        .select(exp.Sum(this=exp.case().when(own_id, 1).else_(0)).as_("people"))
        .from_("identifier_profiles AS m")
        .join("identifiers AS i", on="i.identifier_id = m.identifier_id")
        .where("m.profile_id IS NOT NULL")
        .group_by("m.profile_id")
    )
    name = "lower(regexp_replace(name, '[^A-Za-z]', '', 'g'))"
    values = (
        exp.select("profile_id", "name", "count(DISTINCT CAST(value AS TEXT)) AS n")
        .from_("profile_traits")
        .where(exp.condition(name, dialect="duckdb").isin(*_STEADY), exp.condition("value IS NOT NULL"))
        .group_by("profile_id", "name")
        .having("count(DISTINCT CAST(value AS TEXT)) > 1")
    )
    contradicting = (
        exp.select("profile_id", "count(*) AS traits", "string_agg(name, ', ' ORDER BY name) AS names")
        .from_(values.subquery("v"))
        .group_by("profile_id")
    )
    merged = exp.select("to_profile", "count(*) AS n").from_("merges").group_by("to_profile")
    rows: list[dict[str, Any]] = warehouse.query(
        exp.select("h.profile_id", "h.identifiers", "h.people", "t.names", "g.n AS merges")
        .from_(held.subquery("h"))
        .join(contradicting.subquery("t"), on="t.profile_id = h.profile_id", join_type="left")
        .join(merged.subquery("g"), on="g.to_profile = h.profile_id", join_type="left")
        .where(
            exp.or_(
                exp.column("identifiers", "h") >= _BIG,
                exp.column("people", "h") > 1,
                exp.column("traits", "t") > 0,
                exp.column("n", "g") >= _MANY,
            )
        )
        .order_by("h.people DESC", "coalesce(t.traits, 0) DESC", "h.identifiers DESC", "h.profile_id")
        .limit(limit)
    ).to_pylist()
    return rows


def _reasons(row: dict[str, Any]) -> tuple[str, ...]:
    reasons = []
    if row["people"] > 1:
        reasons.append(f"{row['people']} ids of persons in one profile")
    if row["names"]:
        reasons.append(f"contradicting traits: {row['names']}")
    if row["identifiers"] >= _BIG:
        reasons.append(f"{row['identifiers']} identifiers")
    if (row["merges"] or 0) >= _MANY:
        reasons.append(f"absorbed {row['merges']} other profiles")
    return tuple(reasons)
