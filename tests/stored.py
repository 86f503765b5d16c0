"""Worlds in a warehouse: the relations that compiled rules read, as plain tables that a test fills."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from sqlglot import exp

from audiences.audience import Audience
from audiences.compile import Question
from audiences.computing import compute_members
from audiences.engines import ENGINES
from audiences.kinds import Kinds
from audiences.rules import Path
from identity.store.warehouse import Warehouse
from tests.reference import Change, Event, World

__all__ = ["ask", "audience", "evaluate", "fill", "kinds_of", "make_tables"]

_TABLES = {
    "profile_events": {
        "profile_id": "UUID",
        "message_id": "VARCHAR",
        "name": "VARCHAR",
        "occurred_at": "TIMESTAMP",
        "received_at": "TIMESTAMP",
        "account": "VARCHAR",
        "properties": "VARIANT",
    },
    "profile_traits": {
        "profile_id": "UUID",
        "message_id": "VARCHAR",
        "name": "VARCHAR",
        "value": "VARIANT",
        "occurred_at": "TIMESTAMP",
        "received_at": "TIMESTAMP",
    },
    "account_traits": {
        "account": "VARCHAR",
        "message_id": "VARCHAR",
        "name": "VARCHAR",
        "value": "VARIANT",
        "occurred_at": "TIMESTAMP",
        "received_at": "TIMESTAMP",
    },
    "profiles": {"profile_id": "UUID", "first_seen_at": "TIMESTAMP"},
    "profile_identifiers": {"profile_id": "UUID", "type": "VARCHAR"},
    "consented_profiles": {"purpose": "VARCHAR", "profile_id": "UUID"},
    "manual_members": {"audience": "VARCHAR", "profile_id": "UUID", "state": "VARCHAR"},
}


def make_tables(warehouse: Warehouse) -> None:
    """Make the relations that compiled rules read."""
    for name, columns in _TABLES.items():
        defined = [
            exp.ColumnDef(
                this=exp.to_identifier(column, quoted=True),
                kind=exp.DataType.build(kind, dialect="duckdb"),
            )
            for column, kind in columns.items()
        ]
        schema = exp.Schema(this=exp.to_table(name), expressions=defined)
        warehouse.execute(exp.Create(this=schema, kind="TABLE", exists=True))


def fill(warehouse: Warehouse, world: World) -> None:
    """Replace what is stored by a world; who joined an account has a group message that says so."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
    first: dict[str, list[datetime]] = {}
    for name, person in world.people.items():
        for event in person.events:
            rows["profile_events"].append(_event(name, event))
            first.setdefault(name, []).append(event.received_at)
        for change in person.traits:
            rows["profile_traits"].append({"profile_id": name, **_change(change)})
            first.setdefault(name, []).append(change.received_at)
        rows["profile_identifiers"] += [{"profile_id": name, "type": each} for each in person.identifiers]
        rows["consented_profiles"] += [{"profile_id": name, "purpose": each} for each in person.permitted]
    for account, each in world.accounts.items():
        rows["account_traits"] += [{"account": account, **_change(change)} for change in each.traits]
        for profile, at in each.joined.items():
            said = Event("", f"group {account} {profile}", at, at, {}, account)
            rows["profile_events"].append(_event(profile, said))
            first.setdefault(profile, []).append(at)
    for audience, listed in world.lists.items():
        rows["manual_members"] += [
            {"audience": audience, "profile_id": each, "state": "in"} for each in listed
        ]
    rows["profiles"] = [
        {"profile_id": name, "first_seen_at": _naive(min(instants))} for name, instants in first.items()
    ]
    for name, found in rows.items():
        warehouse.execute(exp.delete(name))
        if found:
            warehouse.append(name, pa.Table.from_pylist(found, schema=_schema(name)))


def audience(group: Any) -> Audience:
    """An audience of a rule that was made without handles, and that handles might not make."""
    made = object.__new__(Audience)
    values = {"key": group.key, "rule": group.rule, "of": group.of, "place": "", "based_on": ()}
    for name, value in ({"description": "", "sync": (), "every": None} | values).items():
        object.__setattr__(made, name, value)
    return made


def ask(
    warehouse: Warehouse,
    world: World,
    audiences: Iterable[Audience],
    as_of: datetime,
    kinds: Kinds | None = None,
) -> Question:
    """The question that a test asks of a world."""
    return Question(
        as_of,
        ENGINES[warehouse.dialect],
        audiences={each.key: each for each in audiences},
        manual=frozenset(world.lists),
        kinds=kinds,
    )


def evaluate(
    warehouse: Warehouse, world: World, groups: Iterable[Any], as_of: datetime, kinds: Kinds | None = None
) -> dict[str, set[str]]:
    """Who is in each audience, by the compiled rules; the world is stored already."""
    audiences = [audience(group) for group in groups]
    question = ask(warehouse, world, audiences, as_of, kinds)
    found: dict[str, set[str]] = {}
    for of in ("profile", "account"):
        chosen = [each for each in audiences if each.of == of]
        if chosen:
            found |= {key: set(ids) for key, ids in compute_members(warehouse, chosen, question).items()}
    return found


def kinds_of(world: World) -> Kinds:
    """The catalogue of property kinds that an ingest of a world would have noted."""
    by_name: dict[str, dict[Path, frozenset[str]]] = {}
    for person in world.people.values():
        for event in person.events:
            paths = by_name.setdefault(event.name, {})
            for path, kind in _kinds(event.properties, ()):
                paths[path] = paths.get(path, frozenset()) | {kind}
    return Kinds(by_name)


def _kinds(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    for key, inner in value.items():
        here = (*path, key)
        match inner:
            case None:
                continue
            case bool():
                yield here, "flag"
            case str():
                yield here, "text"
            case int() | float():
                yield here, "number"
            case list():
                yield here, "array"
            case _:
                yield here, "object"
                yield from _kinds(inner, here)


def _event(profile: str, event: Event) -> dict[str, Any]:
    return {
        "profile_id": profile,
        "message_id": event.message_id,
        "name": event.name,
        "occurred_at": _naive(event.occurred_at),
        "received_at": _naive(event.received_at),
        "account": event.account,
        "properties": json.dumps(event.properties),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "message_id": change.message_id,
        "name": change.name,
        "value": None if change.value is None else json.dumps(change.value),
        "occurred_at": _naive(change.occurred_at),
        "received_at": _naive(change.received_at),
    }


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _schema(table: str) -> pa.Schema:
    instant = pa.timestamp("us")
    return pa.schema(
        [(column, instant if kind == "TIMESTAMP" else pa.string()) for column, kind in _TABLES[table].items()]
    )
