"""Parquet rows become events without becoming Python objects: columns in, columns out.

Takes what is plain: tracks and pages whose columns are named like message fields, whose properties and
context are structs (or columns such as `properties.sku`) of texts, numbers, truth values, and lists and
structs of these, and hold nothing personal. What it leaves goes through `identity/bulk.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from identity.bulk import MESSAGE_ID, UNUSUAL, UNUSUAL_CONTEXT
from identity.canonical import looks_personal
from identity.columns import (
    EVENT_TYPES,
    Instants,
    Ints,
    Marks,
    Rows,
    Tokens,
    effective,
    instants,
    link,
    marks,
    tokens_of,
)
from identity.events import PAGE_NAMES
from identity.identifiers import IdentityRules
from identity.privacy.classification import Place
from identity.sealing import NOTHING, Entry, Sealer

__all__ = ["columnar_rows"]

_TEXT = pa.string()
_KINDS = ("track", *PAGE_NAMES)
_FAMILIAR = {*UNUSUAL_CONTEXT, "device", "traits"}
_SPECIAL = np.zeros(256, dtype=np.bool_)
_SPECIAL[[*range(0x20), ord('"'), ord("\\")]] = True
"""Bytes that JSON escapes."""


class _RareError(Exception):
    """A column is of a type that is not plain."""


@dataclass(slots=True)
class _Table:
    """The columns of some rows, and which of these are left for others."""

    columns: Mapping[str, pa.Array]
    left: Marks

    def leave(self, rows: pa.Array | Marks) -> None:
        """Leave the marked rows to others."""
        self.left |= rows if isinstance(rows, np.ndarray) else marks(rows)

    def texts(self, name: str) -> pa.Array:
        """A column as texts; rows that hold something else are left, and an empty text is none."""
        column = self.columns.get(name)
        if column is None:
            return pa.nulls(len(self.left), _TEXT)
        try:
            return _not_empty(_as_text(column))
        except _RareError:
            self.leave(column.is_valid())
            return pa.nulls(len(self.left), _TEXT)


def columnar_rows(
    rows: pa.RecordBatch, places: Ints, sealer: Sealer, rules: IdentityRules, ingested_at: int
) -> Rows | None:
    """Make events of those rows that are plain.

    Args:
        rows: of a Parquet file, its columns named like message fields.
        places: of the rows in the file.
        sealer: makes tokens.
        rules: decide which identifiers count.
        ingested_at: microseconds since 1970, UTC; stands for the receipt of a message that has no time.

    Returns:
        The events; None when the columns are such that no row is plain.
    """
    names = rows.schema.names
    properties, context = _fields(rows, "properties"), _fields(rows, "context")
    if properties is None or context is None or len(set(names)) < len(names) or not _is_sound(rows):
        return None
    table = _Table(dict(zip(names, rows.columns, strict=True)), np.zeros(len(places), dtype=np.bool_))
    for field, column in table.columns.items():
        rare = field == "traits" and not (pa.types.is_struct(column.type) or pa.types.is_null(column.type))
        if rare or field in UNUSUAL or field.startswith("traits."):
            table.leave(_not_empty(column).is_valid())
    kind, name = _kinds(table)
    ids = table.texts("messageId")
    table.leave(pc.fill_null(pc.greater(pc.utf8_length(ids), MESSAGE_ID), True))
    table.leave(_with_texts(ids, lambda text: "@" in text))
    times = [_instants(table, field) for field in ("timestamp", "originalTimestamp", "sentAt", "receivedAt")]
    occurred, received, clamped, future = effective(times, ingested_at)
    table.leave(np.logical_or.reduce([future, *(column.wrong for column in times)]))
    tokens: list[Tokens] = []
    carried: dict[bytes, Entry] = {}
    for each in (each for each, _ in rules.keys if each in ("user_id", "anonymous_id")):
        column, entries = _tokens(table, each, "userId" if each == "user_id" else "anonymousId", sealer)
        tokens.append(column)
        carried |= entries
    carried.pop(NOTHING.token, None)
    table.leave(~np.logical_or.reduce([column.given for column in tokens]))
    keys = {key for each, keys in rules.keys if each not in ("user_id", "anonymous_id") for key in keys}
    _describe_pages(table, properties, kind)
    subject, listed = link(tokens)
    empty = pa.nulls(0, _TEXT)
    events = pa.table(
        {
            "message_id": ids,
            "kind": kind,
            "name": name,
            "occurred_at": pa.array(occurred).view(EVENT_TYPES["occurred_at"]),
            "received_at": pa.array(received).view(EVENT_TYPES["received_at"]),
            "clamped": pa.array(clamped),
            "subject": subject,
            "identifiers": listed,
            "account": pa.nulls(len(places), _TEXT),
            "properties": _json_objects(table, "property", properties, keys, sealer),
            "context": _json_objects(table, "context", context, _FAMILIAR, sealer),
        },
        schema=pa.schema(EVENT_TYPES),
    )
    return Rows(
        places=places,
        events=events,
        traits=pa.table({"row": pa.nulls(0, pa.int64()), "name": empty, "value": empty}),
        identifiers=carried,
        sealed_rows=np.zeros(0, dtype=np.int64),
        sealed=[],
    ).where(~table.left)


def _kinds(table: _Table) -> tuple[pa.Array, pa.Array]:
    """The kinds and the names of the events; rows of rare ones are left."""
    kind = _each(table.texts("type"), str.lower)
    table.leave(pc.invert(pc.is_in(kind, value_set=pa.array(_KINDS))))
    event = _each(
        table.texts("event"), lambda text: text if text.strip() and not looks_personal(text) else None
    )
    page = _each(kind, PAGE_NAMES.get)
    name = pc.if_else(pc.fill_null(pc.equal(kind, "track"), False), event, page)
    table.leave(name.is_null())
    return kind, name


def _each(texts: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """Change every text, each distinct one once."""
    encoded = texts.dictionary_encode()
    changed = pa.array([change(text) for text in encoded.dictionary.to_pylist()], _TEXT)
    return changed.take(encoded.indices)


def _instants(table: _Table, name: str) -> Instants:
    column = table.columns.get(name)
    if column is not None and pa.types.is_timestamp(column.type):
        return instants(column)
    return instants(table.texts(name))


def _tokens(table: _Table, kind: str, name: str, sealer: Sealer) -> tuple[Tokens, dict[bytes, Entry]]:
    """The tokens of a column of identifiers, made once for each distinct one."""
    column = table.columns.get(name)
    if column is not None and pa.types.is_integer(column.type):
        texts = column.cast(_TEXT)
    else:
        texts = table.texts(name)
    encoded = texts.dictionary_encode()
    entries = [*sealer.identifiers(kind, encoded.dictionary.to_pylist()), NOTHING]
    distinct, carried = tokens_of(kind, entries)
    codes = encoded.indices.fill_null(len(entries) - 1).to_numpy()
    tokens = Tokens(kind, distinct.bytes[codes], distinct.open[codes])
    table.leave(~tokens.given & marks(texts.is_valid()))
    return tokens, carried


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of properties or context; and where they are an object that says null fields as such."""

    columns: dict[str, pa.Array]
    whole: pa.Array | None


def _fields(rows: pa.RecordBatch, bag: str) -> _Fields | None:
    """The fields of a bag, from a struct or from columns whose names say so; None when it is neither."""
    dotted = {name.partition(".")[2]: name for name in rows.schema.names if name.startswith(f"{bag}.")}
    dotted.pop("", None)
    if bag not in rows.schema.names or pa.types.is_null(rows.schema.field(bag).type):
        if any("." in name for name in dotted):
            return None
        return _Fields({name: _not_empty(rows[full]) for name, full in dotted.items()}, None)
    column = rows[bag]
    if dotted or not pa.types.is_struct(column.type):
        return None
    names = [field.name for field in column.type]
    if len(set(names)) < len(names):
        return None
    return _Fields(dict(zip(names, column.flatten(), strict=True)), column.is_valid())


def _describe_pages(table: _Table, properties: _Fields, kind: pa.Array) -> None:
    """Let names and categories of pages be properties of theirs, unless they are already."""
    page = pc.is_in(kind, value_set=pa.array(list(PAGE_NAMES)))
    for name in ("name", "category"):
        given = _where(page, table.texts(name))
        if given.null_count == len(given):
            continue
        own = properties.columns.get(name, pa.nulls(len(given), _TEXT))
        try:
            properties.columns[name] = pc.coalesce(_as_text(own), given)
        except _RareError:
            table.leave(given.is_valid())


def _json_objects(table: _Table, place: Place, fields: _Fields, taken: set[str], sealer: Sealer) -> pa.Array:
    """JSON texts of a bag; rows that hold anything personal or rare in it are left."""
    texts: dict[str, pa.Array] = {}
    for name, column in fields.columns.items():
        texts[name] = pa.nulls(len(column), _TEXT)
        if name in taken or _is_personal(sealer, place, (name,), column.type):
            table.leave(column.is_valid())
            continue
        try:
            texts[name] = _json(column)
        except _RareError:
            table.leave(column.is_valid())
    if place == "context":
        texts.pop("consent", None)
    count = len(table.left)
    if place == "context" and fields.whole is not None:
        found = pc.if_else(fields.whole, _object(texts, count, nulls=True), "{}")
    else:
        found = _object(texts, count, nulls=False)
    table.leave(_with_texts(found, looks_personal))
    return found


def _is_personal(sealer: Sealer, place: Place, path: tuple[str, ...], kind: pa.DataType) -> bool:
    """Whether the values at a path, or at any below it, are personal by their names."""
    if sealer.class_of(place, path) is not None or path[-1] == "externalIds":
        return True
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    inner = list(kind) if pa.types.is_struct(kind) else []
    return any(_is_personal(sealer, place, (*path, field.name), field.type) for field in inner)


def _json(column: pa.Array) -> pa.Array:
    """JSON texts of the values of a column, null where they are."""
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return column.cast(_TEXT)
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _floats(column)
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if len(set(names)) < len(names):
            raise _RareError
        inner = {name: _json(each) for name, each in zip(names, column.flatten(), strict=True)}
        return _where(column.is_valid(), _object(inner, len(column), nulls=True))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items = pc.fill_null(_json(pc.list_flatten(column)), "null")
        sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        joined = pc.binary_join(pa.ListArray.from_arrays(ends, items), ",")
        return _where(column.is_valid(), pc.binary_join_element_wise("[", joined, "]", ""))
    return pc.binary_join_element_wise('"', _escaped(_as_text(column)), '"', "")


def _object(texts: Mapping[str, pa.Array], count: int, *, nulls: bool) -> pa.Array:
    """JSON objects of fields; those that are null are said as such, or left out."""
    if not texts:
        return pa.repeat(pa.scalar("{}", _TEXT), count)
    pieces = []
    for name, column in texts.items():
        said = pc.fill_null(column, "null") if nulls else column
        pieces.append(pc.binary_join_element_wise(f",{orjson.dumps(name).decode()}:", said, ""))
    # without the text that is always there, rows in which all are null would go missing (Arrow 26)
    joined = pc.binary_join_element_wise("", *pieces, "", null_handling="skip")
    return pc.binary_join_element_wise("{", pc.ascii_ltrim(joined, ","), "}", "")


def _floats(column: pa.Array) -> pa.Array:
    # orjson writes a float so that it stays one, and "null" for what JSON can't say
    values = np.ascontiguousarray(column.cast(pa.float64()).fill_null(0).to_numpy())
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()
    return _where(column.is_valid(), pc.split_pattern(pa.array([text]), ",").flatten())


def _escaped(texts: pa.Array) -> pa.Array:
    """Texts in which JSON escapes what it has to; hardly any needs it."""
    _, ends, data = texts.buffers()
    if data is None:
        return texts
    offsets = np.frombuffer(ends, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]]
    special = np.flatnonzero(_SPECIAL[characters])
    if not len(special):
        return texts
    rows = np.unique(np.searchsorted(offsets, special + offsets[0], side="right") - 1)
    changed = [orjson.dumps(text)[1:-1].decode() for text in texts.take(pa.array(rows)).to_pylist()]
    mask = np.zeros(len(texts), dtype=np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(changed, _TEXT))


def _as_text(column: pa.Array) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(_TEXT)
    raise _RareError


def _not_empty(column: pa.Array) -> pa.Array:
    """A column in which an empty text is null, as it counts as absent."""
    try:
        texts = _as_text(column)
    except _RareError:
        return column
    return _where(pc.not_equal(texts, ""), texts)


def _with_texts(texts: pa.Array, wrong: Callable[[str], bool]) -> Marks:
    """The rows of those texts with an `@`, also an escaped one, that are wrong."""
    found = np.zeros(len(texts), dtype=np.bool_)
    data = texts.buffers()[2]
    held = b"" if data is None else data.to_pybytes()
    if b"@" in held or b"%40" in held:
        for row, text in enumerate(texts.to_pylist()):
            found[row] = text is not None and ("@" in text or "%40" in text) and wrong(text)
    return found


def _where(given: pa.Array, texts: pa.Array) -> pa.Array:
    return pc.if_else(given, texts, pa.scalar(None, _TEXT))


def _is_sound(rows: pa.RecordBatch) -> bool:
    """Whether the texts are UTF-8, as a file promises and few readers check."""
    try:
        rows.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
