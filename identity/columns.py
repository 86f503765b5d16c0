"""What whole columns of messages become: instants, tokens and lists of them, JSON texts.

Each function here does to a column what `identity/events.py` and `identity/ingest.py` do to one message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from identity.canonical import looks_personal
from identity.events import FUTURE_LIMIT, microseconds
from identity.sealing import Entry

__all__ = [
    "EVENT_TYPES",
    "Instants",
    "Ints",
    "Marks",
    "Rows",
    "Tokens",
    "effective",
    "instants",
    "json_texts",
    "link",
    "marks",
    "tokens_of",
    "unfit_texts",
    "uuids",
]

Marks = npt.NDArray[np.bool_]
"""A numpy array of yes and no."""

Ints = npt.NDArray[np.int64]
"""A numpy array of 64-bit integers."""

_Bytes = npt.NDArray[np.uint8]
_MICROSECOND = timedelta(microseconds=1)
_SURE = (-2_208_988_800_000_000, 7_258_118_400_000_000)
"""From 1900 to 2200: there Arrow reads every text that it reads at all as Python does."""

_PER_UNIT = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""Unit → what makes microseconds of it: a factor, then a divisor."""

_INSTANT = pa.timestamp("us")
EVENT_TYPES: Mapping[str, pa.DataType] = {
    "message_id": pa.string(),
    "kind": pa.string(),
    "name": pa.string(),
    "occurred_at": _INSTANT,
    "received_at": _INSTANT,
    "clamped": pa.bool_(),
    "subject": pa.uuid(),
    "identifiers": pa.list_(pa.uuid()),
    "account": pa.string(),
    "properties": pa.string(),
    "context": pa.string(),
}
"""Columns of the events that a batch brings, but for their source."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Events that were made column by column.

    Attributes:
        places: of each in its file, counted in records.
        events: `EVENT_TYPES`.
        traits: `row` among the events, `name`, and `value` as JSON text.
        identifiers: those that the events carry, by token.
        sealed_rows: among the events, for each of `sealed`.
        sealed: what stands for a personal value in the events and traits.
    """

    places: Ints
    events: pa.Table
    traits: pa.Table
    identifiers: Mapping[bytes, Entry]
    sealed_rows: Ints
    sealed: Sequence[Entry]

    def where(self, kept: Marks) -> Rows:
        """Only the marked events, with what belongs to them, in order of their places."""
        order = np.flatnonzero(kept)
        order = order[np.argsort(self.places[order], kind="stable")]
        if len(order) == len(kept) and (order[1:] > order[:-1]).all():
            return self
        events = self.events.take(pa.array(order))
        carried = self.identifiers
        if len(order) < len(kept):
            tokens = events["identifiers"].combine_chunks().flatten().storage.unique().to_pylist()
            carried = {token: carried[token] for token in tokens}
        now = np.empty(len(kept), dtype=np.int64)
        now[order] = np.arange(len(order))
        rows = self.traits["row"].to_numpy()
        traits = self.traits.filter(pa.array(kept[rows]))
        stays = kept[self.sealed_rows]
        return Rows(
            self.places[order],
            events,
            traits.set_column(0, "row", pa.array(now[rows[kept[rows]]])),
            carried,
            now[self.sealed_rows[stays]],
            [entry for entry, stay in zip(self.sealed, stays, strict=True) if stay],
        )


@dataclass(frozen=True, slots=True)
class Instants:
    """A column of instants in microseconds.

    Attributes:
        at: 0 where there is none.
        given: True where there is one.
        wrong: True where something stands that is none.
    """

    at: Ints
    given: Marks
    wrong: Marks


@dataclass(frozen=True, slots=True)
class Tokens:
    """A column of identifiers of one type.

    Attributes:
        kind: the type.
        bytes: n × 16, zeroes where there is none.
        open: True where there is one that may link.
    """

    kind: str
    bytes: _Bytes
    open: Marks

    @property
    def given(self) -> Marks:
        """True where there is one."""
        # the variant of a UUID is never zero
        return self.bytes[:, 8] > 0


def instants(values: Sequence[Any] | pa.Array) -> Instants:
    """Read a column of instants.

    Args:
        values: ISO 8601 texts, datetimes, None; or an Arrow column of texts or of instants.
    """
    if not isinstance(values, pa.Array) and values.count(None) == len(values):
        return _no_instants(len(values))
    known = _by_arrow(values)
    if known is not None:
        return known
    listed = values.to_pylist() if isinstance(values, pa.Array) else values
    found = [None if value is None else microseconds(value) for value in listed]
    given = np.array([each is not None for each in found], dtype=np.bool_)
    meant = np.array([value is not None for value in listed], dtype=np.bool_)
    return Instants(np.array([each or 0 for each in found], dtype=np.int64), given, meant & ~given)


def _no_instants(count: int) -> Instants:
    """A column without any instant.

    Args:
        count: how long it is.
    """
    nothing = np.zeros(count, dtype=np.bool_)
    return Instants(np.zeros(count, dtype=np.int64), nothing, nothing)


def _by_arrow(values: Sequence[Any] | pa.Array) -> Instants | None:
    if isinstance(values, pa.Array) and pa.types.is_timestamp(values.type):
        ticks = values.view(pa.int64()).fill_null(0).to_numpy()
        factor, divisor = _PER_UNIT[values.type.unit]
        if not ((ticks > _SURE[0] // factor) & (ticks < _SURE[1] // factor * divisor)).all():
            return None
        return Instants(ticks * factor // divisor, marks(values.is_valid()), np.zeros(len(ticks), np.bool_))
    try:
        texts = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    except (pa.ArrowException, UnicodeError):
        return None
    given = marks(texts.is_valid())
    for zone in ("UTC", None):
        try:
            read = pc.cast(texts, pa.timestamp("us", zone)).view(pa.int64()).fill_null(0)
        except pa.ArrowInvalid:
            continue
        at = read.to_numpy()
        if not len(at) or (_SURE[0] < at.min() and at.max() < _SURE[1]):
            return Instants(at, given, np.zeros(len(at), dtype=np.bool_))
    return None


def effective(times: Sequence[Instants], ingested_at: int) -> tuple[Ints, Ints, Marks, Marks]:
    """When events happened and were received, as `parse_event` says it of one.

    Args:
        times: `timestamp`, `originalTimestamp`, `sentAt`, `receivedAt`.
        ingested_at: stands for the receipt of a message that has no time.

    Returns:
        occurred, received, whether the receipt was set for the occurrence, whether it lies in the future.
    """
    stated, original, sent, received = times
    first_at = np.where(stated.given, stated.at, original.at)
    first_given = stated.given | original.given
    start_at = np.where(received.given, original.at, first_at)
    start_given = np.where(received.given, original.given, first_given)
    stood_in = np.where(sent.given, sent.at, np.where(first_given, first_at, ingested_at))
    received_at = np.where(received.given, received.at, stood_in)
    corrected = received_at - (sent.at - start_at)
    otherwise = np.where(first_given, first_at, received_at)
    occurred_at = np.where(start_given & sent.given, corrected, otherwise)
    limit = FUTURE_LIMIT // _MICROSECOND
    future = (occurred_at - received_at > limit) | (received_at - ingested_at > limit)
    return np.minimum(occurred_at, received_at), received_at, occurred_at > received_at, future


def tokens_of(kind: str, entries: Sequence[Entry]) -> tuple[Tokens, dict[bytes, Entry]]:
    """The tokens of a column of identifiers.

    Args:
        kind: their type.
        entries: at least one; NOTHING where there is none.

    Returns:
        The column, and the entries by token.
    """
    tokens = [entry.token for entry in entries]
    blocked = [entry.blocked for entry in entries]
    column = np.frombuffer(b"".join(tokens), dtype=np.uint8).reshape(-1, 16)
    marks = np.frombuffer(bytes(blocked), dtype=np.bool_)
    return Tokens(kind, column, ~marks), dict(zip(tokens, entries, strict=True))


def link(columns: Sequence[Tokens]) -> tuple[pa.Array, pa.Array]:
    """The subject and the identifiers of events.

    Args:
        columns: the highest priority first, at least one, all of one length.

    Returns:
        The first that may link, or null; all of them by type, each once.
    """
    subject, found = columns[0].bytes.copy(), columns[0].open.copy()
    for column in columns[1:]:
        more = column.open & ~found
        subject[more] = column.bytes[more]
        found |= more
    ordered = sorted(columns, key=lambda column: column.kind)
    given = np.stack([column.given for column in ordered], axis=1)
    for later, column in enumerate(ordered):
        for earlier in range(later):
            if ordered[earlier].kind == column.kind:
                given[:, later] &= ~(ordered[earlier].bytes == column.bytes).all(axis=1)
    ends = np.concatenate([[0], np.cumsum(given.sum(axis=1))]).astype(np.int32)
    listed = np.stack([column.bytes for column in ordered], axis=1)[given]
    every = np.ones(len(listed), dtype=np.bool_)
    return uuids(subject, found), pa.ListArray.from_arrays(ends, uuids(listed, every))


def uuids(tokens: _Bytes, given: Marks) -> pa.Array:
    """A column of UUIDs.

    Args:
        tokens: n × 16 bytes.
        given: False where it is null.
    """
    missing = None if given.all() else pa.py_buffer(np.packbits(given, bitorder="little"))
    data = pa.py_buffer(np.ascontiguousarray(tokens))
    stored = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(tokens), [missing, data])
    return pa.ExtensionArray.from_storage(pa.uuid(), stored)


def json_texts(values: Sequence[Any]) -> list[bytes | None]:
    """JSON texts of values, None of a value that has none.

    Args:
        values: what JSON can say, and also what a table may hold.
    """
    try:
        return list(map(orjson.dumps, values))
    except orjson.JSONEncodeError:
        return [_json_text(value) for value in values]


def _json_text(value: Any) -> bytes | None:
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        return None


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


def unfit_texts(texts: Sequence[bytes | None]) -> list[int]:
    """The places of those JSON texts that are missing, or that an e-mail address may stand in.

    Args:
        texts: JSON of orjson, which escapes no character of an address.
    """
    if all(texts):
        joined = b"".join(texts)  # type: ignore[arg-type]
        if b"@" not in joined and b"%40" not in joined:
            return []
    return [place for place, text in enumerate(texts) if text is None or looks_personal(text.decode())]


def marks(column: pa.Array) -> Marks:
    """An Arrow column of yes and no, without nulls, as an array.

    Args:
        column: the column.
    """
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.bool_)
