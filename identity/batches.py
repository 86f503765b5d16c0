"""A batch of events on its way into the warehouse: each message once, sealed, with what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from identity.columns import EVENT_TYPES, Rows, json_texts
from identity.events import Event, Refusal
from identity.privacy.consent import ConsentRecord, record_consent
from identity.property_kinds import note_kinds
from identity.sealing import NOTHING, Entry, Sealer
from identity.store.warehouse import Warehouse
from identity.tables import TABLES

if TYPE_CHECKING:
    from identity.privacy.classification import Place
    from identity.store.ledger import Ledger

__all__ = ["Counts", "Prepared", "Refused", "Stores", "keep_batch"]

_MEMORY = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COLUMNS = {table.name: list(table.columns) for table in TABLES}


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that is no event.

    Attributes:
        line: 1 for the first line of the file.
        offset: bytes before it in the unpacked file; None for Parquet.
        refusal: why.
    """

    line: int
    offset: int | None
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a block of records holds.

    Attributes:
        made: events that were made column by column.
        events: those that were made one by one, with the place of each in the file, counted in records.
        refused: the other records.
        records: how many there are.
        position: bytes of the file that have been read.
    """

    made: Sequence[Rows]
    events: Sequence[tuple[int, Event]]
    refused: Sequence[Refused]
    records: int
    position: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a batch: events stored, messages known already, clamped among the stored."""

    accepted: int
    duplicates: int
    clamped: int


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a batch goes, and what went there before.

    Attributes:
        warehouse: takes events.
        ledger: takes consent.
        sealer: makes tokens.
        purposes: consent category → purpose.
        as_of: the instant of reading.
        identifiers: tokens that the warehouse is known to hold as identifiers.
        sealed: tokens that it is known to hold with a sealed value.
    """

    warehouse: Warehouse
    ledger: Ledger
    sealer: Sealer
    purposes: Mapping[str, str]
    as_of: datetime
    identifiers: set[bytes] = field(default_factory=set)
    sealed: set[bytes] = field(default_factory=set)


def keep_batch(stores: Stores, batch: Sequence[Prepared], source: str) -> Counts:
    """Store what is new in a batch, all of it or nothing.

    Args:
        stores: where it goes.
        batch: blocks of one file, in order.
        source: the file's name.
    """
    made, single, duplicates = _fresh(stores.warehouse, batch)
    consent: list[ConsentRecord] = []
    if single:
        made = [*made, _sealed(single, stores, consent)]
    record_consent(stores.ledger, consent)
    identifiers = {token: entry for rows in made for token, entry in rows.identifiers.items()}
    sealed = {entry.token: entry for rows in made for entry in rows.sealed}
    sealed |= {token: entry for token, entry in identifiers.items() if entry.sealed is not None}
    new_identifiers = {token: each for token, each in identifiers.items() if token not in stores.identifiers}
    new_sealed = {token: entry for token, entry in sealed.items() if token not in stores.sealed}
    with stores.warehouse.transaction():
        _append(stores.warehouse, made, source)
        _append_identifiers(stores.warehouse, new_identifiers)
        _append_sealed(stores.warehouse, new_sealed)
        _quarantine(stores, source, [each for prepared in batch for each in prepared.refused])
    for known, new in ((stores.identifiers, new_identifiers), (stores.sealed, new_sealed)):
        if len(known) > _MEMORY:
            known.clear()
        known.update(new)
    accepted = sum(rows.events.num_rows for rows in made)
    clamped = sum(pc.sum(rows.events["clamped"]).as_py() or 0 for rows in made)
    return Counts(accepted, duplicates, clamped)


def _fresh(
    warehouse: Warehouse, batch: Sequence[Prepared]
) -> tuple[list[Rows], list[tuple[int, Event]], int]:
    """What of a batch is new, and how many messages are not; of several with one id, the first one counts."""
    made = [rows for prepared in batch for rows in prepared.made]
    single = [each for prepared in batch for each in prepared.events]
    ids = pa.chunked_array(
        [
            *(chunk for rows in made for chunk in rows.events["message_id"].chunks),
            pa.array([event.message_id for _, event in single], pa.string()),
        ]
    )
    if not len(ids):
        return [], [], 0
    alone = np.array([place for place, _ in single], dtype=np.int64)
    places = np.concatenate([*(rows.places for rows in made), alone])
    kept = np.ones(len(places), dtype=np.bool_)
    if pc.count_distinct(ids).as_py() < len(ids):
        first = pa.table({"id": ids, "place": places}).group_by("id").aggregate([("place", "min")])
        kept &= np.isin(places, first["place_min"].to_numpy())
    with warehouse.scratch("incoming", pa.table({"message_id": ids})) as name:
        known = warehouse.query(
            exp.select("e.message_id")
            .from_("events AS e")
            .join(exp.to_table(name).as_("i"), using="message_id")
        )
    if known.num_rows:
        kept &= ~pc.is_in(ids, value_set=known["message_id"].combine_chunks()).to_numpy()
    ends = np.cumsum([0, *(len(rows.places) for rows in made), len(single)])
    made = [rows.where(kept[start:end]) for rows, start, end in zip(made, ends, ends[1:], strict=False)]
    single = [each for each, stays in zip(single, kept[ends[-2] :], strict=True) if stays]
    return made, single, int((~kept).sum())


def _sealed(events: Sequence[tuple[int, Event]], stores: Stores, consent: list[ConsentRecord]) -> Rows:
    """Seal events one by one; what they say of consent is added to `consent`."""
    sealer = stores.sealer
    columns: dict[str, list[Any]] = {name: [] for name in EVENT_TYPES}
    traits: dict[str, list[Any]] = {"row": [], "name": [], "value": []}
    identifiers: dict[bytes, Entry] = {}
    sealed: list[Entry] = []
    sealed_rows: list[int] = []
    for row, (_, event) in enumerate(events):
        used: dict[bytes, Entry] = {}
        found = [sealer.identifier(kind, raw) for kind, raw in event.identifiers]
        carried = {entry.token: entry for entry in reversed(found) if entry is not NOTHING}
        carried = {entry.token: carried[entry.token] for entry in found if entry is not NOTHING}
        identifiers |= carried
        subject = next((token for token, entry in carried.items() if not entry.blocked), None)
        values = (
            event.message_id,
            event.kind,
            sealer.embedded(event.name, used),
            event.occurred_at,
            event.received_at,
            event.clamped,
            subject,
            sorted(carried, key=lambda token: carried[token].kind),
            sealer.embedded(event.account, used) if event.account else None,
            sealer.conceal("property", event.properties, (), used),
            sealer.conceal("context", event.context, (), used),
        )
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
        place: Place = "account_trait" if event.kind == "group" else "trait"
        for name, value in event.traits.items():
            traits["row"].append(row)
            traits["name"].append(sealer.embedded(str(name), used))
            traits["value"].append(sealer.conceal(place, value, (str(name),), used))
        sealed += used.values()
        sealed_rows += [row] * len(used)
        consent += _consent(event, carried, stores)
    return Rows(
        places=np.array([place for place, _ in events], dtype=np.int64),
        events=_table(columns),
        traits=pa.table(
            {
                "row": pa.array(traits["row"], pa.int64()),
                "name": pa.array(traits["name"], pa.string()),
                "value": pa.array(
                    [
                        None if value is None else text
                        for value, text in zip(traits["value"], json_texts(traits["value"]), strict=True)
                    ],
                    pa.binary(),
                ).cast(pa.string()),
            }
        ),
        identifiers=identifiers,
        sealed_rows=np.array(sealed_rows, dtype=np.int64),
        sealed=sealed,
    )


def _consent(event: Event, carried: Mapping[bytes, Entry], stores: Stores) -> list[ConsentRecord]:
    ingested_at = (stores.as_of.astimezone(UTC) - _EPOCH) // _MICROSECOND
    # a sender's clock in the future must not let a grant outlive a refusal of today
    captured_at = _EPOCH + min(event.occurred_at, ingested_at) * _MICROSECOND
    return [
        ConsentRecord(
            subject=str(UUID(bytes=token)),
            purpose=stores.purposes.get(category, category.strip().casefold()),
            state="granted" if granted else "denied",
            captured_at=captured_at,
            source="event",
            evidence=event.message_id,
        )
        for category, granted in event.consent.items()
        for token in carried
    ]


def _table(columns: Mapping[str, list[Any]]) -> pa.Table:
    """Columns of events that were made one by one, in the form of those that were made together."""
    lists = columns["identifiers"]
    ends = np.cumsum([0, *map(len, lists)]).astype(np.int32)
    flat = pa.array([token for each in lists for token in each], pa.binary(16))
    special = {
        "subject": pa.ExtensionArray.from_storage(pa.uuid(), pa.array(columns["subject"], pa.binary(16))),
        "identifiers": pa.ListArray.from_arrays(ends, pa.ExtensionArray.from_storage(pa.uuid(), flat)),
        **{
            name: pa.array(json_texts(columns[name]), pa.binary()).cast(pa.string())
            for name in ("properties", "context")
        },
    }
    return pa.table(
        {
            name: special[name] if name in special else pa.array(values, EVENT_TYPES[name])
            for name, values in columns.items()
        },
        schema=pa.schema(EVENT_TYPES),
    )


def _append(warehouse: Warehouse, made: Sequence[Rows], source: str) -> None:
    """Append events, and what they say of traits."""
    made = [rows for rows in made if rows.events.num_rows]
    if not made:
        return
    events = pa.concat_tables([rows.events for rows in made])
    places = np.concatenate([rows.places for rows in made])
    if (places[1:] < places[:-1]).any():
        events = events.combine_chunks().take(pa.array(np.argsort(places)))
    with warehouse.scratch("kinds_of", events) as name:
        note_kinds(warehouse, name)
    warehouse.append("events", events.append_column("source", _repeated(source, events.num_rows)))
    warehouse.append("arrivals", events.select(_COLUMNS["arrivals"]))
    traits = pa.concat_tables([_trait_changes(rows) for rows in made])
    if traits.num_rows:
        warehouse.append("trait_changes", traits)


def _trait_changes(rows: Rows) -> pa.Table:
    of_group = pc.equal(rows.events["kind"], "group")
    events = rows.events.set_column(
        rows.events.column_names.index("account"),
        "account",
        pc.if_else(of_group, rows.events["account"], pa.scalar(None, pa.string())),
    )
    told = events.select(["message_id", "subject", "account", "occurred_at", "received_at"])
    told = told.take(rows.traits["row"])
    return told.append_column("name", rows.traits["name"]).append_column("value", rows.traits["value"])


def _append_identifiers(warehouse: Warehouse, new: Mapping[bytes, Entry]) -> None:
    entries = new.values()
    _append_new(
        warehouse,
        "identifiers",
        {
            "identifier_id": _uuids(new),
            "type": pa.array([entry.kind for entry in entries], pa.string()),
            "value": pa.array([entry.value for entry in entries], pa.string()),
            "blocked": pa.array([entry.blocked for entry in entries], pa.bool_()),
        },
    )


def _append_sealed(warehouse: Warehouse, new: Mapping[bytes, Entry]) -> None:
    entries = new.values()
    _append_new(
        warehouse,
        "sealed_values",
        {
            "token": _uuids(new),
            "class": pa.array([entry.kind for entry in entries], pa.string()),
            "sealed": pa.array([entry.sealed for entry in entries], pa.binary()),
        },
    )


def _append_new(warehouse: Warehouse, table: str, columns: Mapping[str, pa.Array]) -> None:
    """Append the rows whose key, the first column, the table does not hold yet."""
    key, *_ = columns
    rows = pa.table(columns)
    if not rows.num_rows:
        return
    with warehouse.scratch("fresh", rows) as name:
        unknown = (
            exp.select(*(exp.column(column, "f", quoted=True) for column in columns))
            .from_(exp.to_table(name).as_("f"))
            .join(
                exp.to_table(table).as_("t"),
                on=exp.column(key, "t").eq(exp.column(key, "f")),
                join_type="left",
            )
            .where(exp.column(key, "t").is_(exp.null()))
        )
        names = [exp.to_identifier(column, quoted=True) for column in columns]
        warehouse.execute(exp.insert(unknown, exp.to_table(table), columns=names))


def _uuids(tokens: Mapping[bytes, Entry]) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(list(tokens), pa.binary(16)))


def _repeated(text: str, count: int) -> pa.Array:
    indices = pa.array(np.zeros(count, dtype=np.int8))
    return pa.DictionaryArray.from_arrays(indices, pa.array([text], pa.string()))


def _quarantine(stores: Stores, source: str, refused: Sequence[Refused]) -> None:
    if not refused:
        return
    held = stores.warehouse.query(
        exp.select("line", "code").from_("quarantine").where(exp.column("source").eq(source))
    )
    known = set(zip(held["line"].to_pylist(), held["code"].to_pylist(), strict=True))
    rows = [each for each in refused if (each.line, each.refusal.code) not in known]
    if not rows:
        return
    as_of = stores.as_of.astimezone(UTC).replace(tzinfo=None)
    stores.warehouse.append(
        "quarantine",
        pa.table(
            {
                "source": pa.array([source] * len(rows), pa.string()),
                "line": pa.array([each.line for each in rows], pa.int64()),
                "byte_offset": pa.array([each.offset for each in rows], pa.int64()),
                "code": pa.array([each.refusal.code for each in rows], pa.string()),
                "reason": pa.array([each.refusal.reason for each in rows], pa.string()),
                "refused_at": pa.array([as_of] * len(rows), pa.timestamp("us")),
            }
        ),
    )
