"""Profiles as they are shown: every personal value masked, unless the caller asks otherwise and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
from sqlglot import exp

from identity.component import resolve_component
from identity.errors import NotFoundError
from identity.identifiers import IdentityRules
from identity.masking import mask
from identity.overrides import Override
from identity.privacy.vault import SEALED_PREFIX, Vault
from identity.profiles import newest_traits, subjects_of
from identity.store.warehouse import Warehouse
from identity.tables import instant, temporary, uuid

__all__ = [
    "ShownAccount",
    "ShownIdentifier",
    "ShownProfile",
    "ShownTrait",
    "show_identifiers",
    "show_profile",
    "show_profile_as_of",
]

_RECENT = 10


@dataclass(frozen=True, slots=True)
class ShownIdentifier:
    """One identifier of a profile; its value is masked unless the caller asked to see it."""

    type: str
    value: str
    identifier_id: str


@dataclass(frozen=True, slots=True)
class ShownTrait:
    """A trait, and the event that set it.

    Attributes:
        value: its value, personal parts masked.
        message_id: the event.
        occurred_at: when, UTC.
    """

    value: Any
    message_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class ShownAccount:
    """An account that events of a profile named, with its own traits.

    Attributes:
        account: its id.
        traits: name → trait, newest first wins.
        first_seen_at: the profile's first event of it, UTC.
        last_seen_at: the latest, UTC.
    """

    account: str
    traits: dict[str, ShownTrait]
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """A profile as it is shown.

    Attributes:
        profile_id: its id.
        first_seen_at: receipt of its first event, UTC.
        last_seen_at: its latest event, UTC.
        identifiers: what points to it.
        traits: name → trait, newest first wins; personal values masked.
        accounts: those that its events named.
        events: event name → how many.
        recent: the latest events as (instant, kind, name).
        merged: profiles that were merged into it, as (id, message id that caused it, instant).
    """

    profile_id: str
    first_seen_at: datetime
    last_seen_at: datetime
    identifiers: tuple[ShownIdentifier, ...]
    traits: dict[str, ShownTrait]
    accounts: tuple[ShownAccount, ...]
    events: dict[str, int]
    recent: tuple[tuple[datetime, str, str], ...]
    merged: tuple[tuple[str, str, datetime], ...]


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
        name = row["identifier_id"]
        shown[name] = ShownIdentifier(kind, value if reveal else mask(kind, value), name)
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
    base = warehouse.query(
        exp.select("*").from_("profiles").where(exp.column("profile_id").eq(uuid(profile_id)))
    ).to_pylist()
    if not base:
        raise NotFoundError("No profile by that id.")
    merges = exp.select("from_profile", "message_id", "merged_at").from_("merges")
    return _gather(
        warehouse,
        vault,
        profile_id,
        (base[0]["first_seen_at"], base[0]["last_seen_at"]),
        subjects_of(warehouse, profile_id),
        merges.where(exp.column("to_profile").eq(uuid(profile_id))),
        ("profile_events", "profile_traits", "trait_changes"),
        reveal=reveal,
    )


def show_profile_as_of(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override],
    identifiers: Sequence[str],
    as_of: datetime,
    *,
    reveal: bool = False,
) -> ShownProfile:
    """Gather what the events up to an instant make of the oldest profile that identifiers pointed to then.

    Of a profile's identifiers that is the profile itself, since the older one survives a merge.

    Args:
        warehouse: holds the events.
        vault: opens sealed values, to mask them.
        rules: the project's identity rules.
        overrides: those that hold; the ones decided later are left out.
        identifiers: one identifier's id, or those of a profile.
        as_of: the instant, UTC.
        reveal: True shows values in plain; the caller answers for the reason.

    Raises:
        NotFoundError: no event had linked any of them to a profile by then.
    """
    resolve_component(warehouse, vault, rules, overrides, identifiers, as_of.astimezone(UTC))
    found = warehouse.query(
        exp.select("p.profile_id")
        .from_("resolve_answers AS a")
        .join("resolve_profiles AS p", on="p.profile_id = a.profile_id")
        .where(
            exp.In(this=exp.column("identifier_id", "a"), expressions=[uuid(each) for each in identifiers])
        )
        .order_by("p.occurred_at", "p.message_id")
        .limit(1)
    )
    if not found.num_rows:
        raise NotFoundError(f"Nobody was known by that id on {as_of:%Y-%m-%d %H:%M} UTC.")
    profile_id = str(found["profile_id"][0].as_py())
    _events_as_of(warehouse, profile_id, as_of.astimezone(UTC))
    seen = warehouse.query(
        exp.select(
            exp.Min(this=exp.column("received_at")).as_("first_seen_at"),
            exp.Max(this=exp.column("occurred_at")).as_("last_seen_at"),
        ).from_("as_of_events")
    ).to_pylist()[0]
    held = (
        exp.select("identifier_id")
        .from_("resolve_answers")
        .where(exp.column("profile_id").eq(uuid(profile_id)))
    )
    merges = exp.select("from_profile", "message_id", exp.column("occurred_at").as_("merged_at")).from_(
        "resolve_merges"
    )
    return _gather(
        warehouse,
        vault,
        profile_id,
        (seen["first_seen_at"], seen["last_seen_at"]),
        warehouse.query(held)["identifier_id"].to_pylist(),
        merges.where(exp.column("to_profile").eq(uuid(profile_id))),
        ("as_of_events", "as_of_traits", "as_of_account_traits"),
        reveal=reveal,
    )


def _events_as_of(warehouse: Warehouse, profile_id: str, as_of: datetime) -> None:
    """Fill temporary tables with one profile's events and traits, as the rows resolved last give them."""
    then = exp.column("occurred_at", "e") <= instant(as_of)
    # where limits are windowed, two messages of one instant and one list have a row each
    owned = (
        exp.select("e.message_id", "a.profile_id")
        .distinct()
        .from_("events AS e")
        .join(
            "resolve_rows AS r",
            on="e.identifiers = r.identifiers AND e.occurred_at BETWEEN r.occurred_at AND r.last_occurred_at",
        )
        .join("resolve_moved AS m", on="m.place = r.place", join_type="left")
        .join("resolve_answers AS a", on="a.identifier_id = coalesce(m.identifier_id, r.subject)")
        .where(exp.column("profile_id", "a").eq(uuid(profile_id)), then)
    )
    # the profile of then takes the place of the stored one
    events = exp.select("e.* EXCLUDE (profile_id)", "o.profile_id").from_("events AS e")
    warehouse.execute(
        temporary("as_of_events", events.join(owned.subquery("o"), on="o.message_id = e.message_id"))
    )
    traits = (
        exp.select("t.* EXCLUDE (profile_id)", "e.profile_id")
        .from_("trait_changes AS t")
        .join("as_of_events AS e", using="message_id")
        .where("t.account IS NULL")
    )
    warehouse.execute(temporary("as_of_traits", traits))
    named = exp.select("account").from_("as_of_events").where("account IS NOT NULL")
    of_accounts = exp.select("e.*").from_("trait_changes AS e")
    warehouse.execute(
        temporary(
            "as_of_account_traits",
            of_accounts.where(then.copy(), exp.column("account", "e").isin(query=named)),
        )
    )


def _gather(
    warehouse: Warehouse,
    vault: Vault,
    profile_id: str,
    seen: tuple[datetime, datetime],
    identifiers: Sequence[str],
    merges: exp.Select,
    tables: tuple[str, str, str],
    *,
    reveal: bool,
) -> ShownProfile:
    events_table, traits_table, account_traits_table = tables
    of_profile = exp.column("profile_id").eq(uuid(profile_id))
    traits = warehouse.query(
        newest_traits(traits_table)
        .where(exp.column("profile_id", "newest").eq(uuid(profile_id)))
        .order_by("name")
    ).to_pylist()
    events = warehouse.query(
        exp.select("name", exp.Count(this=exp.Star()).as_("n"))
        .from_(events_table)
        .where(of_profile, exp.column("name").neq(""))
        .group_by("name")
        .order_by("n DESC", "name")
    ).to_pylist()
    recent = warehouse.query(
        exp.select("occurred_at", "kind", "name")
        .from_(events_table)
        .where(of_profile.copy())
        .order_by("occurred_at DESC", "message_id DESC")
        .limit(_RECENT)
    ).to_pylist()
    accounts = warehouse.query(
        exp.select("account", "min(occurred_at) AS first_at", "max(occurred_at) AS last_at")
        .from_(events_table)
        .where(of_profile.copy(), exp.condition("account IS NOT NULL"))
        .group_by("account")
        .order_by("account")
    ).to_pylist()
    merged = warehouse.query(merges.order_by("merged_at", "message_id")).to_pylist()
    return ShownProfile(
        profile_id,
        _utc(seen[0]),
        _utc(seen[1]),
        tuple(show_identifiers(warehouse, vault, identifiers, reveal=reveal).values()),
        {row["name"]: _trait(warehouse, vault, row, reveal) for row in traits},
        tuple(
            ShownAccount(
                str(_shown(warehouse, vault, row["account"], reveal)),
                _account_traits(warehouse, vault, account_traits_table, row["account"], reveal),
                _utc(row["first_at"]),
                _utc(row["last_at"]),
            )
            for row in accounts
        ),
        {row["name"]: row["n"] for row in events},
        tuple((_utc(row["occurred_at"]), row["kind"], row["name"]) for row in recent),
        tuple((row["from_profile"], row["message_id"], _utc(row["merged_at"])) for row in merged),
    )


def _account_traits(
    warehouse: Warehouse, vault: Vault, table: str, account: str, reveal: bool
) -> dict[str, ShownTrait]:
    rows = warehouse.query(
        newest_traits(table, owner="account").where(exp.column("account").eq(account)).order_by("name")
    ).to_pylist()
    return {row["name"]: _trait(warehouse, vault, row, reveal) for row in rows}


def _trait(warehouse: Warehouse, vault: Vault, row: dict[str, Any], reveal: bool) -> ShownTrait:
    value = _shown(warehouse, vault, orjson.loads(row["value"]), reveal)
    return ShownTrait(value, row["message_id"], _utc(row["occurred_at"]))


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
        exp.select("class", "sealed").from_("sealed_values").where(exp.column("token").eq(uuid(token)))
    ).to_pylist()
    if not found:
        return "•••"
    kind = found[0]["class"]
    value = vault.open(kind, UUID(token), found[0]["sealed"])
    return value if reveal else mask(kind, value)
