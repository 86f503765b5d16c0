"""Profiles: find one, and take the match keys of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import pyarrow as pa
from sqlglot import exp

from identity.canonical import canonical
from identity.errors import HashingError, NotFoundError, did_you_mean
from identity.identifiers import IdentityRules
from identity.privacy.hashing import Candidate, HashedIdentifier, hash_value
from identity.privacy.vault import SEALED_PREFIX, Vault
from identity.store.warehouse import Warehouse
from identity.tables import uuid

__all__ = [
    "count_profiles",
    "find_identifier",
    "find_profile",
    "identifier_token",
    "main_identifier",
    "match_keys",
    "newest_traits",
    "profiles_of",
    "subjects_of",
]


def count_profiles(warehouse: Warehouse) -> int:
    """Count the profiles of the last resolve."""
    counted = warehouse.query(exp.select(exp.Count(this=exp.Star()).as_("n")).from_("profiles"))
    return int(counted["n"][0].as_py())


def identifier_token(vault: Vault, rules: IdentityRules, text: str) -> str:
    """Turn `TYPE:VALUE`, as a person types it, into the identifier's id.

    Args:
        vault: makes the token.
        rules: know the types.
        text: for example `email:ann@example.com`.

    Raises:
        NotFoundError: no such type, or the value is not of that type. The value is not repeated.
    """
    kind, separator, value = text.partition(":")
    known = [each.name for each in rules.types] + ["phone"]
    if not separator or kind not in known:
        raise NotFoundError(
            f"Write an identifier as TYPE:VALUE, with one of the types {', '.join(dict.fromkeys(known))}."
            + (did_you_mean(kind, known) if separator else "")
        )
    found = canonical(kind, value, rules.default_region)
    if found is None:
        raise NotFoundError(f"What follows {kind}: is not a valid {kind}.")
    return str(vault.token(kind, found))


def find_profile(warehouse: Warehouse, vault: Vault, rules: IdentityRules, text: str) -> str:
    """Find a profile by its id, or by one of its identifiers.

    Args:
        warehouse: holds the profiles.
        vault: makes the identifier's token.
        rules: know the identifier types.
        text: a profile id, also one that was merged into another since, or `TYPE:VALUE`.

    Returns:
        The profile id.

    Raises:
        NotFoundError: nobody by that id or identifier.
    """
    try:
        wanted = str(UUID(text))
    except ValueError:
        token = identifier_token(vault, rules, text)
        query = (
            exp.select("profile_id")
            .from_("identifier_profiles")
            .where(exp.column("identifier_id").eq(uuid(token)))
        )
    else:
        query = exp.select("profile_id").from_("profiles").where(exp.column("profile_id").eq(uuid(wanted)))
        if not warehouse.query(query).num_rows and (now := _stands_for(warehouse, wanted)):
            return now
    found = warehouse.query(query.where("profile_id IS NOT NULL"))["profile_id"].to_pylist()
    if not found:
        raise NotFoundError("No profile by that id or identifier; after an ingest, run `audiences resolve`.")
    return str(found[0])


def _stands_for(warehouse: Warehouse, profile_id: str) -> str | None:
    """The living profile that a former one became part of, by the history; None when there is none."""
    seen: set[str] = set()
    while profile_id not in seen:
        seen.add(profile_id)
        newest = warehouse.query(
            exp.select("canonical_id")
            .from_("graph_updates")
            .where(exp.column("profile_id").eq(uuid(profile_id)))
            .order_by("resolved_at DESC")
            .limit(1)
        )["canonical_id"].to_pylist()
        if not newest or newest[0] is None:
            return None
        if newest[0] == profile_id:
            return profile_id
        profile_id = str(newest[0])
    return None


def find_identifier(warehouse: Warehouse, vault: Vault, rules: IdentityRules, text: str) -> str:
    """Find an identifier that some event carried, by its id or as `TYPE:VALUE`.

    Args:
        warehouse: holds the identifiers.
        vault: makes the identifier's token.
        rules: know the identifier types.
        text: an identifier id, or `TYPE:VALUE`.

    Returns:
        The identifier's id.

    Raises:
        NotFoundError: no event carried it. The value is not repeated.
    """
    try:
        wanted = str(UUID(text))
    except ValueError:
        wanted = identifier_token(vault, rules, text)
    found = warehouse.query(
        exp.select("identifier_id").from_("identifiers").where(exp.column("identifier_id").eq(uuid(wanted)))
    )
    if not found.num_rows:
        raise NotFoundError(
            "No event carried that identifier; `audiences profile ID --json` lists those of a profile."
        )
    return wanted


def profiles_of(warehouse: Warehouse, identifier_ids: Sequence[str]) -> list[str | None]:
    """The profile that each of some identifiers points to, in the order given; None when none does.

    Args:
        warehouse: holds the identity graph's answer.
        identifier_ids: ids of identifiers.
    """
    asked = pa.table({"identifier_id": pa.array(sorted(set(identifier_ids)), pa.string())})
    with warehouse.scratch("asked", asked) as name:
        rows = warehouse.query(
            exp.select("m.identifier_id", "m.profile_id")
            .from_("identifier_profiles AS m")
            .join(
                exp.to_table(name).as_("a"),
                on=exp.column("identifier_id", "m").eq(exp.cast(exp.column("identifier_id", "a"), "UUID")),
            )
        ).to_pylist()
    known = {row["identifier_id"]: row["profile_id"] for row in rows}
    return [known.get(each) for each in identifier_ids]


def subjects_of(warehouse: Warehouse, profile_id: str) -> tuple[str, ...]:
    """All identifier ids of one profile: the subjects under which its consent is recorded."""
    found = warehouse.query(
        exp.select("identifier_id")
        .from_("identifier_profiles")
        .where(exp.column("profile_id").eq(uuid(profile_id)))
    )
    return tuple(sorted(found["identifier_id"].to_pylist()))


def main_identifier(warehouse: Warehouse, rules: IdentityRules, profile_id: str) -> str:
    """The identifier that stands best for a profile: of the type that gives way last.

    Args:
        warehouse: holds the identity graph's answer.
        rules: the project's identity rules.
        profile_id: the profile's id.

    Returns:
        The identifier's id; of several of one type the first in the order of ids.
    """
    rank = {each.name: number for number, each in enumerate(rules.types)}
    rows = warehouse.query(
        exp.select("type", "identifier_id")
        .from_("profile_identifiers")
        .where(exp.column("profile_id").eq(uuid(profile_id)))
    ).to_pylist()
    best = min(rows, key=lambda row: (rank.get(row["type"], len(rank)), row["identifier_id"]))
    return str(best["identifier_id"])


def match_keys(
    warehouse: Warehouse,
    vault: Vault,
    profile_ids: Sequence[str],
    fields: Sequence[str],
    platform: str,
) -> Iterator[Candidate]:
    """Hash the match keys of many profiles for one platform: the only way for them to leave.

    Keys come from identifiers and from the newest traits of the same class.

    Args:
        warehouse: holds the profiles.
        vault: opens the sealed values.
        profile_ids: whose keys.
        fields: personal classes to use, such as `email`, `phone`.
        platform: prefix of the recipes' names, such as `meta`.

    Yields:
        One candidate a profile, in the order given; without keys when it has none.
    """
    people = pa.table({"profile_id": pa.array(profile_ids, pa.string())})
    with warehouse.scratch("wanted", people) as name:
        wanted = exp.select(exp.cast(exp.column("profile_id"), "UUID").as_("profile_id")).from_(name)
        subjects = warehouse.query(
            exp.select("m.profile_id", "m.identifier_id AS token", "i.type AS class", "s.sealed")
            .with_("people", as_=wanted)
            .from_("people AS p")
            .join("identifier_profiles AS m", using="profile_id")
            .join("identifiers AS i", on="i.identifier_id = m.identifier_id")
            .join("sealed_values AS s", on="s.token = m.identifier_id", join_type="left")
        )
        text = exp.cast(exp.column("value", "newest"), "TEXT")
        from_traits = warehouse.query(
            exp.select("newest.profile_id", "s.token", "s.class", "s.sealed")
            .with_("people", as_=wanted)
            .from_(newest_traits().subquery("newest"))
            .join("people AS p", using="profile_id")
            .join(
                "sealed_values AS s",
                on=exp.Concat(
                    expressions=[
                        exp.Literal.string(SEALED_PREFIX),
                        exp.cast(exp.column("token", "s"), "TEXT"),
                    ],
                    safe=False,
                    coalesce=False,
                ).eq(text),
            )
            .where(exp.column("class", "s").isin(*fields))
        )
    subjects_by_profile: dict[str, dict[str, None]] = {}
    keys_by_profile: dict[str, dict[HashedIdentifier, None]] = {}
    hashed: dict[str, HashedIdentifier | None] = {}
    for table in (subjects, from_traits):
        columns = [table[name].to_pylist() for name in ("profile_id", "token", "class", "sealed")]
        for profile_id, token, kind, sealed in zip(*columns, strict=True):
            subjects_by_profile.setdefault(profile_id, {})[token] = None
            if kind not in fields or sealed is None:
                continue
            if token not in hashed:
                hashed[token] = _hashed(f"{platform}.{kind}", vault.open(kind, UUID(token), sealed))
            key = hashed[token]
            if key is not None:
                keys_by_profile.setdefault(profile_id, {})[key] = None
    for profile_id in profile_ids:
        yield Candidate(
            profile_id,
            tuple(sorted(subjects_by_profile.get(profile_id, {}))),
            tuple(sorted(keys_by_profile.get(profile_id, {}), key=lambda key: (key.kind, key.digest))),
        )


def _hashed(recipe: str, value: str) -> HashedIdentifier | None:
    try:
        return hash_value(recipe, value)
    except HashingError:
        return None


def newest_traits(table: str = "profile_traits", owner: str = "profile_id") -> exp.Select:
    """The current traits of everybody: the newest change of each, unless it removed the trait.

    Args:
        table: where the changes are.
        owner: the column that says whose they are.
    """
    order = exp.Window(
        this=exp.RowNumber(),
        partition_by=[exp.column(owner), exp.column("name")],
        order=exp.Order(
            expressions=[
                exp.Ordered(this=exp.column("occurred_at"), desc=True),
                exp.Ordered(this=exp.column("message_id"), desc=True),
            ]
        ),
    )
    ranked = exp.select(
        exp.column(owner), "name", "value", "message_id", "occurred_at", order.as_("place")
    ).from_(table)
    return (
        exp.select(exp.column(owner), "name", "value", "message_id", "occurred_at")
        .from_(ranked.subquery("newest"))
        .where(exp.column("place").eq(1), exp.column("value").is_(exp.null()).not_())
    )
