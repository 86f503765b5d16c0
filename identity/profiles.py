"""Profiles: find one, show it, and take the match keys of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
from sqlglot import exp

from identity.canonical import canonical
from identity.errors import HashingError, NotFoundError, did_you_mean
from identity.identifiers import IdentityRules
from identity.masking import mask
from identity.privacy.hashing import Candidate, HashedIdentifier, hash_value
from identity.privacy.vault import SEALED_PREFIX, Vault
from identity.store.warehouse import Warehouse

__all__ = [
    "ShownIdentifier",
    "ShownProfile",
    "count_profiles",
    "find_profile",
    "identifier_token",
    "match_keys",
    "show_identifiers",
    "show_profile",
    "subjects_of",
]

_RECENT = 10


@dataclass(frozen=True, slots=True)
class ShownIdentifier:
    """One identifier of a profile; its value is masked unless the caller asked to see it."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """A profile as it is shown.

    Attributes:
        profile_id: its id.
        first_seen_at: receipt of its first event, UTC.
        last_seen_at: its latest event, UTC.
        identifiers: what points to it.
        traits: name → value, newest first wins; personal values masked.
        events: event name → how many.
        recent: the latest events as (instant, kind, name).
        merged: profiles that were merged into it, as (id, message id that caused it, instant).
    """

    profile_id: str
    first_seen_at: datetime
    last_seen_at: datetime
    identifiers: tuple[ShownIdentifier, ...]
    traits: dict[str, Any]
    events: dict[str, int]
    recent: tuple[tuple[datetime, str, str], ...]
    merged: tuple[tuple[str, str, datetime], ...]


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
        text: a profile id, or `TYPE:VALUE`.

    Returns:
        The profile id.

    Raises:
        NotFoundError: nobody by that id or identifier.
    """
    try:
        wanted = str(UUID(text))
    except ValueError:
        token = identifier_token(vault, rules, text)
        query = exp.select("profile_id").from_("identifier_profiles").where(_is("identifier_id", token))
    else:
        query = exp.select("profile_id").from_("profiles").where(_is("profile_id", wanted))
    found = warehouse.query(query)["profile_id"].to_pylist()
    if not found:
        raise NotFoundError("No profile by that id or identifier; after an ingest, run `audiences resolve`.")
    return str(found[0])


def show_identifiers(
    warehouse: Warehouse, vault: Vault, identifier_ids: Sequence[str], *, reveal: bool = False
) -> dict[str, ShownIdentifier]:
    """Show identifiers, by their ids, in order of type and id.

    Args:
        warehouse: holds them.
        vault: opens sealed values, to mask them.
        identifier_ids: which ones.
        reveal: True shows values in plain; the caller answers for the reason.
    """
    wanted = pa.table({"wanted_id": pa.array(identifier_ids, pa.string())})
    with warehouse.scratch("wanted", wanted) as name:
        rows = warehouse.query(
            exp.select("i.identifier_id", "i.type", "i.value", "s.sealed")
            .from_(exp.to_table(name).as_("w"))
            .join(
                "identifiers AS i",
                on=exp.column("identifier_id", "i").eq(exp.cast(exp.column("wanted_id", "w"), "UUID")),
            )
            .join("sealed_values AS s", on="s.token = i.identifier_id", join_type="left")
            .order_by("i.type", "i.identifier_id")
        ).to_pylist()
    shown = {}
    for row in rows:
        kind, value = row["type"], row["value"]
        if value is None:
            value = vault.open(kind, UUID(row["identifier_id"]), row["sealed"])
        shown[row["identifier_id"]] = ShownIdentifier(kind, value if reveal else mask(kind, value))
    return shown


def show_profile(
    warehouse: Warehouse, vault: Vault, profile_id: str, *, reveal: bool = False
) -> ShownProfile:
    """Gather what is known of one profile.

    Args:
        warehouse: holds it.
        vault: opens sealed values, to mask them.
        profile_id: its id.
        reveal: True shows values in plain; the caller answers for the reason.

    Raises:
        NotFoundError: no such profile.
    """
    base = warehouse.query(exp.select("*").from_("profiles").where(_is("profile_id", profile_id))).to_pylist()
    if not base:
        raise NotFoundError("No profile by that id.")
    shown = show_identifiers(warehouse, vault, subjects_of(warehouse, profile_id), reveal=reveal)
    traits = warehouse.query(
        _newest_traits().where(_is("profile_id", profile_id, "newest")).order_by("name")
    ).to_pylist()
    events = warehouse.query(
        exp.select("name", exp.Count(this=exp.Star()).as_("n"))
        .from_("profile_events")
        .where(_is("profile_id", profile_id))
        .where(exp.column("name").neq(""))
        .group_by("name")
        .order_by("n DESC", "name")
    ).to_pylist()
    recent = warehouse.query(
        exp.select("occurred_at", "kind", "name")
        .from_("profile_events")
        .where(_is("profile_id", profile_id))
        .order_by("occurred_at DESC", "message_id DESC")
        .limit(_RECENT)
    ).to_pylist()
    merged = warehouse.query(
        exp.select("from_profile", "message_id", "merged_at")
        .from_("merges")
        .where(_is("to_profile", profile_id))
        .order_by("merged_at", "message_id")
    ).to_pylist()
    return ShownProfile(
        profile_id,
        _utc(base[0]["first_seen_at"]),
        _utc(base[0]["last_seen_at"]),
        tuple(shown.values()),
        {row["name"]: _shown(warehouse, vault, orjson.loads(row["value"]), reveal) for row in traits},
        {row["name"]: row["n"] for row in events},
        tuple((_utc(row["occurred_at"]), row["kind"], row["name"]) for row in recent),
        tuple((row["from_profile"], row["message_id"], _utc(row["merged_at"])) for row in merged),
    )


def subjects_of(warehouse: Warehouse, profile_id: str) -> tuple[str, ...]:
    """All identifier ids of one profile: the subjects under which its consent is recorded."""
    found = warehouse.query(
        exp.select("identifier_id").from_("identifier_profiles").where(_is("profile_id", profile_id))
    )
    return tuple(sorted(found["identifier_id"].to_pylist()))


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
            .from_(_newest_traits().subquery("newest"))
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


def _newest_traits() -> exp.Select:
    """The current traits of every profile: the newest change of each, unless it removed the trait."""
    order = exp.Window(
        this=exp.RowNumber(),
        partition_by=[exp.column("profile_id"), exp.column("name")],
        order=exp.Order(
            expressions=[
                exp.Ordered(this=exp.column("occurred_at"), desc=True),
                exp.Ordered(this=exp.column("message_id"), desc=True),
            ]
        ),
    )
    ranked = exp.select("profile_id", "name", "value", order.as_("place")).from_("profile_traits")
    return (
        exp.select("profile_id", "name", "value")
        .from_(ranked.subquery("newest"))
        .where(exp.column("place").eq(1), exp.column("value").is_(exp.null()).not_())
    )


def _is(column: str, identifier: str, table: str | None = None) -> exp.Expr:
    return exp.column(column, table).eq(exp.cast(exp.Literal.string(identifier), "UUID"))


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC)


def _shown(warehouse: Warehouse, vault: Vault, value: Any, reveal: bool) -> Any:
    match value:
        case dict():
            return {key: _shown(warehouse, vault, inner, reveal) for key, inner in value.items()}
        case list():
            return [_shown(warehouse, vault, inner, reveal) for inner in value]
        case str() if value.startswith(SEALED_PREFIX):
            return _opened(warehouse, vault, value.removeprefix(SEALED_PREFIX), reveal)
        case _:
            return value


def _opened(warehouse: Warehouse, vault: Vault, token: str, reveal: bool) -> str:
    found = warehouse.query(
        exp.select("class", "sealed").from_("sealed_values").where(_is("token", token))
    ).to_pylist()
    if not found:
        return "•••"
    kind = found[0]["class"]
    value = vault.open(kind, UUID(token), found[0]["sealed"])
    return value if reveal else mask(kind, value)
