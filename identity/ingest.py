"""The first gate: read, check, seal, append; a message id counts once for ever.

Personal values leave the message here: each becomes a token in place and a sealed value in its own table,
and nothing else of it is kept. Consent that events carry is written to the ledger before the events
themselves, so that a crash in between can't lose a refusal; writing it again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
import pyarrow as pa
from sqlglot import exp

from identity.canonical import canonical, looks_personal
from identity.events import Event, Refusal, content_id, parse_event
from identity.identifiers import IdentityRules, is_blocked
from identity.mapping import Mapped
from identity.privacy.classification import Place, field_class
from identity.privacy.consent import ConsentRecord, record_consent
from identity.privacy.vault import SEALED_PREFIX, Vault
from identity.property_kinds import note_kinds
from identity.reading import Record, read_records
from identity.scope import remember_rules
from identity.store.warehouse import Warehouse
from identity.tables import TABLES

if TYPE_CHECKING:
    from identity.store.ledger import Ledger

__all__ = ["IngestReport", "ingest"]

_BATCH = 50_000
_MEMORY = 500_000
_SHOW_EVERY = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of one file's records.

    Attributes:
        source: the file's name, or `-`.
        read: records seen.
        accepted: events stored.
        duplicates: messages whose id was known already.
        clamped: accepted events whose corrected time lay after their receipt.
        refused: code → records sent to quarantine.
    """

    source: str
    read: int
    accepted: int
    duplicates: int
    clamped: int
    refused: Mapping[str, int]

    @property
    def truncated(self) -> bool:
        """True when the file ended before its end, so that what followed is unknown."""
        return "truncated" in self.refused


@dataclass(slots=True)
class _Batch:
    """Rows of the next transaction, column by column."""

    events: dict[str, list[Any]] = field(default_factory=dict)
    traits: dict[str, list[Any]] = field(default_factory=dict)
    identifiers: dict[str, tuple[str, str | None, bool]] = field(default_factory=dict)
    sealed: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    consent: list[ConsentRecord] = field(default_factory=list)


class _Sealer:
    """Turns values into tokens, and remembers the recent ones: most values come again."""

    def __init__(self, vault: Vault, rules: IdentityRules) -> None:
        self._vault = vault
        self._rules = rules
        self._personal = {each.name for each in rules.types if each.personal}
        self._kinds: dict[tuple[Place, tuple[str, ...]], dict[str, str | None]] = {}
        self._known: dict[tuple[str, str], tuple[str, str | None, bool, bytes | None] | None] = {}

    def identifier(self, kind: str, raw: str, batch: _Batch) -> tuple[str, bool] | None:
        """Return an identifier's id and whether it is blocked; None when the value is not of its kind."""
        entry = self._entry(kind, raw, identifier=True)
        if entry is None:
            return None
        token, value, blocked, sealed = entry
        batch.identifiers[token] = (kind, value, blocked)
        if sealed is not None:
            batch.sealed[token] = (kind, sealed)
        return token, blocked

    def text(self, kind: str, raw: str, batch: _Batch) -> str:
        """Seal one personal value and return the text that stands for it."""
        entry = self._entry(kind, raw, identifier=False)
        if entry is None:
            return ""
        token, _, _, sealed = entry
        if sealed is not None:
            batch.sealed[token] = (kind, sealed)
        return SEALED_PREFIX + token

    def embedded(self, text: str, batch: _Batch) -> str:
        """Seal a text as a whole when an e-mail address stands in it; else return it as it is."""
        return self.text("text", text, batch) if looks_personal(text) else text

    def _entry(
        self, kind: str, raw: str, *, identifier: bool
    ) -> tuple[str, str | None, bool, bytes | None] | None:
        key = (kind if identifier else f"\0{kind}", raw)
        if key in self._known:
            return self._known[key]
        value = canonical(kind, raw, self._rules.default_region)
        if value is None and not identifier:
            value = raw.strip() or None
        entry = None
        if value is not None:
            token = self._vault.token(kind, value)
            personal = not identifier or kind in self._personal or looks_personal(value)
            sealed = self._vault.seal(kind, token, value) if personal else None
            blocked = identifier and is_blocked(kind, value, self._rules)
            entry = (str(token), None if personal else value, blocked, sealed)
        if len(self._known) >= _MEMORY:
            self._known.clear()
        self._known[key] = entry
        return entry

    def conceal(self, place: Place, value: Any, path: tuple[str, ...], batch: _Batch) -> Any:
        """Replace every personal value in a tree by the text that stands for it."""
        if isinstance(value, dict):
            if path[-1:] == ("externalIds",):
                return self._external_id(value, batch)
            kinds = self._kinds.setdefault((place, path), {})
            concealed = {}
            for key, inner in value.items():
                name = str(key)
                if isinstance(inner, (dict, list)):
                    concealed[self.embedded(name, batch)] = self.conceal(place, inner, (*path, name), batch)
                    continue
                if name not in kinds:
                    kinds[name] = field_class(place, (*path, name), self._rules)
                concealed[self.embedded(name, batch)] = self._scalar(kinds[name], inner, batch)
            return concealed
        if isinstance(value, list):
            return [self.conceal(place, inner, path, batch) for inner in value]
        return self._scalar(field_class(place, path, self._rules) if path else None, value, batch)

    def _external_id(self, given: dict[str, Any], batch: _Batch) -> dict[str, Any]:
        """Conceal one of `context.externalIds`, whose `type` says what its `id` is."""
        kind = field_class("trait", (str(given.get("type", "")),), self._rules)
        return {
            self.embedded(str(key), batch): (
                self._scalar(kind, inner, batch)
                if key == "id" and not isinstance(inner, (dict, list))
                else self.conceal("context", inner, (str(key),), batch)
            )
            for key, inner in given.items()
        }

    def _scalar(self, kind: str | None, value: Any, batch: _Batch) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if kind is not None:
            return self.text(kind, str(value), batch)
        return self.embedded(value, batch) if isinstance(value, str) else value


def ingest(
    warehouse: Warehouse,
    ledger: Ledger,
    vault: Vault,
    rules: IdentityRules,
    paths: Sequence[Path],
    *,
    as_of: datetime,
    standard_input: BinaryIO,
    mapped: Mapped | None = None,
    purposes: Mapping[str, str] | None = None,
    on_progress: Callable[[Path, int, int], None] = lambda _path, _bytes, _records: None,
) -> Iterator[IngestReport]:
    """Bring files of messages into the warehouse, one report a file.

    Args:
        warehouse: where events go.
        ledger: where consent goes.
        vault: seals personal values.
        rules: the project's identity rules.
        paths: files; `-` is standard input.
        as_of: the instant of reading; stands for the receipt of messages that have no time.
        standard_input: the binary stream that `-` stands for.
        mapped: how rows become messages; None when they are messages already.
        purposes: consent category → purpose; a category that is not named is its own purpose, case-folded.
        on_progress: is told the path, the bytes of it read so far and the records so far.

    Yields:
        A report when a file is done; everything in it is committed then.

    Raises:
        InputError: a file can't be read at all; what came before it stays.
    """
    sealer = _Sealer(vault, rules)
    remember_rules(warehouse, vault, rules)
    ingested_at = (as_of.astimezone(UTC) - _EPOCH) // _MICROSECOND
    for path in paths:
        seen = _Seen(path, on_progress)
        records = seen.watch(read_records(path, mapped or Mapped(), standard_input, seen.on_bytes))
        occurrences: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        accepted = duplicates = clamped = 0
        for chunk in _chunks(records, _BATCH):
            events: dict[str, Event] = {}
            quarantine: list[tuple[Record, Refusal]] = []
            for record in chunk:
                parsed = _parsed(record, ingested_at, rules, occurrences)
                if isinstance(parsed, Refusal):
                    quarantine.append((record, parsed))
                    refused[parsed.code] += 1
                elif parsed.message_id in events:
                    duplicates += 1
                else:
                    events[parsed.message_id] = parsed
            known = _known_ids(warehouse, events)
            duplicates += len(known)
            fresh = [event for event in events.values() if event.message_id not in known]
            batch = _sealed_batch(fresh, sealer, str(path), purposes or {}, ingested_at)
            record_consent(ledger, batch.consent)
            with warehouse.transaction():
                _store(warehouse, batch)
                _quarantine(warehouse, str(path), quarantine, as_of)
            accepted += len(fresh)
            clamped += sum(event.clamped for event in fresh)
        seen.tell()
        yield IngestReport(str(path), seen.records, accepted, duplicates, clamped, dict(refused))


@dataclass(slots=True)
class _Seen:
    """How far one file was read, told now and then."""

    path: Path
    on_progress: Callable[[Path, int, int], None]
    size: int = 0
    records: int = 0

    def on_bytes(self, count: int) -> None:
        self.size = count

    def watch(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            self.records += 1
            if self.records % _SHOW_EVERY == 0:
                self.tell()
            yield record

    def tell(self) -> None:
        self.on_progress(self.path, self.size, self.records)


def _chunks(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    for record in records:
        chunk.append(record)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _parsed(
    record: Record, ingested_at: int, rules: IdentityRules, occurrences: Counter[str]
) -> Event | Refusal:
    content = record.content
    if isinstance(content, Refusal):
        return content
    fallback = ""
    if isinstance(content, dict) and content.get("messageId", content.get("message_id")) in (None, ""):
        first = content_id(content, 0)
        fallback = first if not occurrences[first] else content_id(content, occurrences[first])
        occurrences[first] += 1
    return parse_event(content, fallback, ingested_at, rules)


def _known_ids(warehouse: Warehouse, events: Mapping[str, Event]) -> set[str]:
    if not events:
        return set()
    with warehouse.scratch("incoming", pa.table({"message_id": pa.array(list(events), pa.string())})) as name:
        found = warehouse.query(
            exp.select("e.message_id")
            .from_("events AS e")
            .join(exp.to_table(name).as_("i"), using="message_id")
        )
    return set(found["message_id"].to_pylist())


# whose an event is, only a resolve knows
_COLUMNS = {table.name: tuple(each for each in table.columns if each != "profile_id") for table in TABLES}
_EVENT_COLUMNS = _COLUMNS["events"]
_TRAIT_COLUMNS = _COLUMNS["trait_changes"]
_ARRIVAL_COLUMNS = list(_COLUMNS["arrivals"])


def _sealed_batch(
    events: Sequence[Event],
    sealer: _Sealer,
    source: str,
    purposes: Mapping[str, str],
    ingested_at: int,
) -> _Batch:
    batch = _Batch(events={name: [] for name in _EVENT_COLUMNS}, traits={name: [] for name in _TRAIT_COLUMNS})
    columns = [batch.events[name] for name in _EVENT_COLUMNS]
    trait_columns = [batch.traits[name] for name in _TRAIT_COLUMNS]
    for event in events:
        tokens: dict[str, bool] = {}
        kinds: dict[str, str] = {}
        for kind, raw in event.identifiers:
            found = sealer.identifier(kind, raw, batch)
            if found is not None:
                tokens.setdefault(*found)
                kinds.setdefault(found[0], kind)
        subject = next((token for token, blocked in tokens.items() if not blocked), None)
        account = sealer.embedded(event.account, batch) if event.account else None
        row = (
            event.message_id,
            event.kind,
            sealer.embedded(event.name, batch),
            event.occurred_at,
            event.received_at,
            event.clamped,
            subject,
            sorted(tokens, key=kinds.__getitem__),
            account,
            _json(sealer.conceal("property", event.properties, (), batch)),
            _json(sealer.conceal("context", event.context, (), batch)),
            source,
        )
        for column, value in zip(columns, row, strict=True):
            column.append(value)
        place: Place = "account_trait" if event.kind == "group" else "trait"
        for name, value in event.traits.items():
            concealed = sealer.conceal(place, value, (str(name),), batch)
            trait = (
                event.message_id,
                subject,
                account if event.kind == "group" else None,
                str(name),
                None if concealed is None else _json(concealed),
                event.occurred_at,
                event.received_at,
            )
            for column, cell in zip(trait_columns, trait, strict=True):
                column.append(cell)
        for category, granted in event.consent.items():
            purpose = purposes.get(category, category.strip().casefold())
            # a sender's clock in the future must not let a grant outlive a refusal of today
            captured_at = _EPOCH + min(event.occurred_at, ingested_at) * _MICROSECOND
            batch.consent.extend(
                ConsentRecord(
                    subject=token,
                    purpose=purpose,
                    state="granted" if granted else "denied",
                    captured_at=captured_at,
                    source="event",
                    evidence=event.message_id,
                )
                for token in tokens
            )
    return batch


def _json(value: Any) -> str:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


_INSTANT = pa.timestamp("us")


def _store(warehouse: Warehouse, batch: _Batch) -> None:
    if batch.events["message_id"]:
        events = _table(batch.events, {"identifiers": pa.list_(pa.string())})
        with warehouse.scratch("kinds_of", events) as name:
            note_kinds(warehouse, name)
        warehouse.append("events", events)
        warehouse.append("arrivals", events.select(_ARRIVAL_COLUMNS))
    if batch.traits["message_id"]:
        warehouse.append("trait_changes", _table(batch.traits, {}))
    if batch.identifiers:
        rows = [(token, *entry) for token, entry in batch.identifiers.items()]
        columns = dict(
            zip(("identifier_id", "type", "value", "blocked"), zip(*rows, strict=True), strict=True)
        )
        _append_new(warehouse, "identifiers", "identifier_id", _table(columns, {}))
    if batch.sealed:
        sealed = [(token, *entry) for token, entry in batch.sealed.items()]
        columns = dict(zip(("token", "class", "sealed"), zip(*sealed, strict=True), strict=True))
        _append_new(warehouse, "sealed_values", "token", _table(columns, {}))


def _table(columns: Mapping[str, Sequence[Any]], types: Mapping[str, pa.DataType]) -> pa.Table:
    known = {
        "occurred_at": _INSTANT,
        "received_at": _INSTANT,
        "clamped": pa.bool_(),
        "blocked": pa.bool_(),
        "sealed": pa.binary(),
        **types,
    }
    return pa.table(
        {name: pa.array(values, known.get(name, pa.string())) for name, values in columns.items()}
    )


def _append_new(warehouse: Warehouse, table: str, key: str, rows: pa.Table) -> None:
    """Append the rows whose key the table does not hold yet."""
    with warehouse.scratch("fresh", rows.select([key])) as name:
        known = warehouse.query(
            exp.select(exp.column(key, "t"))
            .from_(exp.to_table(table).as_("t"))
            .join(
                exp.to_table(name).as_("f"),
                on=exp.column(key, "t").eq(exp.cast(exp.column(key, "f"), "UUID")),
            )
        )
    held = set(known[key].to_pylist())
    fresh = [token not in held for token in rows[key].to_pylist()]
    warehouse.append(table, rows.filter(pa.array(fresh)))


def _quarantine(
    warehouse: Warehouse, source: str, refused: Sequence[tuple[Record, Refusal]], as_of: datetime
) -> None:
    if not refused:
        return
    held = warehouse.query(
        exp.select("line", "code").from_("quarantine").where(exp.column("source").eq(source))
    )
    known = set(zip(held["line"].to_pylist(), held["code"].to_pylist(), strict=True))
    rows = [(record, refusal) for record, refusal in refused if (record.line, refusal.code) not in known]
    if not rows:
        return
    warehouse.append(
        "quarantine",
        pa.table(
            {
                "source": pa.array([source] * len(rows), pa.string()),
                "line": pa.array([record.line for record, _ in rows], pa.int64()),
                "byte_offset": pa.array([record.offset for record, _ in rows], pa.int64()),
                "code": pa.array([refusal.code for _, refusal in rows], pa.string()),
                "reason": pa.array([refusal.reason for _, refusal in rows], pa.string()),
                "refused_at": pa.array([as_of.astimezone(UTC).replace(tzinfo=None)] * len(rows), _INSTANT),
            }
        ),
    )
