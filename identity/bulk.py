"""Many messages at once: those of common shape become events column by column.

A message is left over when anything about it is rare: a kind, a spelling, a consent, a text that looks
personal where none is expected. What is left over goes through `parse_event` one by one, which also says why
a message is refused; so nothing here has to be complete, but what it takes it must bring to the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import compress
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from identity.canonical import looks_personal
from identity.columns import (
    EVENT_TYPES,
    Ints,
    Marks,
    Rows,
    Tokens,
    effective,
    instants,
    json_texts,
    link,
    tokens_of,
    unfit_texts,
)
from identity.events import OLD_SPELLINGS, PAGE_NAMES, device_identifiers
from identity.identifiers import IdentityRules
from identity.privacy.classification import Place
from identity.sealing import NOTHING, Entry, Sealer

__all__ = ["MESSAGE_ID", "UNUSUAL", "UNUSUAL_CONTEXT", "make_rows"]

UNUSUAL = frozenset({"previousId", "groupId", *OLD_SPELLINGS})
"""Fields of messages that are rare."""

UNUSUAL_CONTEXT = frozenset({"consent", "groupId", "externalIds"})
"""Fields of contexts that change more than the context."""

MESSAGE_ID = 200
"""Characters; a longer message id is replaced by its hash."""

_KINDS = {"track", "identify", *PAGE_NAMES}
_NONE = type(None)
_TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
_CLASSES: Mapping[str, set[type]] = {
    "type": {str},
    "messageId": {str},
    "event": {str, _NONE},
    "userId": {str, int, _NONE},
    "anonymousId": {str, int, _NONE},
    "context": {dict, _NONE},
    "traits": {dict, _NONE},
    "properties": {dict, _NONE},
}
_SCALARS = {str, int, float, bool, _NONE, Decimal, datetime, date}
_DEPTH = 32

_FIELDS = (*_CLASSES, *_TIMES, "name", "category")

_Columns = dict[str, list[Any]]
_Shapes = Mapping[tuple[str, ...], Sequence[int]]


def make_rows(
    contents: Sequence[Any], places: Ints, sealer: Sealer, rules: IdentityRules, ingested_at: int
) -> tuple[Rows | None, list[int]]:
    """Make events of the messages that are of common shape.

    Args:
        contents: messages, and whatever else records hold. Personal values in those that become events are
            replaced in place.
        places: of the contents in their file, counted in records.
        sealer: makes tokens.
        rules: decide which identifiers count.
        ingested_at: microseconds since 1970, UTC; stands for the receipt of a message that has no time.

    Returns:
        The events, and which of the contents are left over.
    """
    columns, usual = _columns(contents)
    for rare in (_of_other_types, _of_rare_names, _of_rare_content):
        odd = rare(columns)
        if odd:
            kept = [nth for nth in range(len(usual)) if nth not in odd]
            usual = [usual[nth] for nth in kept]
            columns = {name: [column[nth] for nth in kept] for name, column in columns.items()}
    if not usual:
        return None, list(range(len(contents)))
    rows = _rows(columns, places[usual], sealer, rules, ingested_at)
    return rows, np.flatnonzero(~np.isin(places, rows.places)).tolist()


def _shapes(bags: Sequence[Mapping[str, Any]]) -> _Shapes:
    """Keys → the places of the objects that have just these."""
    keys = list(map(tuple, bags))
    found: dict[tuple[str, ...], list[int]] = {each: [] for each in set(keys)}
    if len(found) == 1:
        return {keys[0]: range(len(keys))}
    for place, each in enumerate(keys):
        found[each].append(place)
    return found


def _columns(contents: Sequence[Any]) -> tuple[_Columns, list[int]]:
    """The fields of those messages that have an id and no rare field, and their places."""
    places = [place for place, content in enumerate(contents) if content.__class__ is dict]
    messages = [contents[place] for place in places]
    shapes = list(map(tuple, messages))
    distinct = set(shapes)
    rare = {keys for keys in distinct if "messageId" not in keys or not UNUSUAL.isdisjoint(keys)}
    if rare:
        kept = [keys not in rare for keys in shapes]
        places, messages = list(compress(places, kept)), list(compress(messages, kept))
        distinct -= rare
    columns: _Columns = {}
    for name in _FIELDS:
        holders = sum(name in keys for keys in distinct)
        if holders == len(distinct):
            columns[name] = list(map(itemgetter(name), messages))
        else:
            columns[name] = [message.get(name) for message in messages] if holders else [None] * len(messages)
    return columns, places


def _of_other_types(columns: _Columns) -> set[int]:
    """Places of messages whose fields are of other types than usual."""
    odd: set[int] = set()
    for name, usual in _CLASSES.items():
        if not usual.issuperset(map(type, columns[name])):
            odd.update(place for place, value in enumerate(columns[name]) if type(value) not in usual)
    return odd


def _of_rare_names(columns: _Columns) -> set[int]:
    """Places of messages of a rare kind or name; the names that are left stand in the columns from now on."""
    given = list(zip(columns["type"], columns["event"], strict=True))
    known: dict[tuple[str, str | None], str | None] = {}
    for kind, event in set(given):
        name = event if kind.lower() == "track" else PAGE_NAMES.get(kind.lower(), "")
        if kind.lower() not in _KINDS or name is None or looks_personal(name):
            known[kind, event] = None
        else:
            known[kind, event] = name if name.strip() or kind.lower() != "track" else None
    if not _KINDS.issuperset(columns["type"]):
        columns["type"] = [kind.lower() for kind in columns["type"]]
    columns["event"] = [known[each] for each in given]
    if None not in known.values():
        return set()
    return {place for place, name in enumerate(columns["event"]) if name is None}


def _of_rare_content(columns: _Columns) -> set[int]:
    """Places of messages that say something rare."""
    odd: set[int] = set()
    ids = columns["messageId"]
    if "@" in "".join(ids) or not all(ids) or max(map(len, ids), default=0) > MESSAGE_ID:
        odd.update(place for place, each in enumerate(ids) if not 0 < len(each) <= MESSAGE_ID or "@" in each)
    context = _holders(columns["context"])
    for keys, at in context.shapes.items():
        if not UNUSUAL_CONTEXT.isdisjoint(keys):
            odd.update(context.rows[nth] for nth in at)
        elif "traits" in keys:
            odd.update(context.rows[nth] for nth in at if columns["type"][context.rows[nth]] == "identify")
    return odd


@dataclass(frozen=True, slots=True)
class _Held:
    """Objects that some rows hold: the row of each, the object, and keys → the places among these."""

    rows: Sequence[int]
    bags: Sequence[dict[str, Any]]
    shapes: _Shapes


def _held(rows: Sequence[int], bags: Sequence[dict[str, Any]]) -> _Held:
    return _Held(rows, bags, _shapes(bags))


def _holders(column: Sequence[dict[str, Any] | None]) -> _Held:
    """The objects of a column that are not empty."""
    rows = [row for row, bag in enumerate(column) if bag]
    return _held(rows, [bag for bag in column if bag])


@dataclass(slots=True)
class _Bags:
    """Objects inside messages on their way to the store, and what was done to them.

    Attributes:
        sealer: makes tokens.
        odd: rows that turned out to be left over.
        rows: for each of `sealed`, the row that it stands in.
        sealed: what stands for personal values.
        undo: row, object, key, value before.
    """

    sealer: Sealer
    odd: set[int] = field(default_factory=set)
    rows: list[int] = field(default_factory=list)
    sealed: list[Entry] = field(default_factory=list)
    undo: list[tuple[int, dict[str, Any], str, Any]] = field(default_factory=list)

    def leave(self, rows: Marks) -> None:
        """Leave over the marked rows."""
        self.odd.update(np.flatnonzero(rows).tolist())

    def conceal(self, place: Place, path: tuple[str, ...], held: _Held) -> None:
        """Replace personal values by what stands for them, and leave out properties that are null."""
        if len(path) > _DEPTH:
            self.odd.update(held.rows)
            return
        for keys, at in held.shapes.items():
            whole = len(at) == len(held.bags)
            some = _Held(
                held.rows if whole else [held.rows[nth] for nth in at],
                held.bags if whole else [held.bags[nth] for nth in at],
                {},
            )
            # taken out before any of them is changed
            columns = list(zip(*[bag.values() for bag in some.bags], strict=True))
            for key, column in zip(keys, columns, strict=True):
                self._conceal_column(place, (*path, key), column, some)

    def _conceal_column(
        self, place: Place, path: tuple[str, ...], column: Sequence[Any], held: _Held
    ) -> None:
        key, classes = path[-1], set(map(type, column))
        nested = not classes.isdisjoint((dict, list))
        if not classes <= _SCALARS:
            allowed = {*_SCALARS, dict, list}
            self.odd.update(
                row for row, value in zip(held.rows, column, strict=True) if type(value) not in allowed
            )
        if type(key) is not str or (nested and key == "externalIds"):
            self.odd.update(held.rows)
            return
        personal = self.sealer.class_of(place, path)
        if nested:
            rows: list[int] = []
            bags: list[dict[str, Any]] = []
            for row, value in zip(held.rows, column, strict=True):
                if value.__class__ is dict:
                    rows.append(row)
                    bags.append(value)
                elif value.__class__ is list:
                    self._gather(value, row, personal is not None, rows, bags)
            self.conceal(place, path, _held(rows, bags))
        if _NONE in classes and place == "property" and len(path) == 1:
            for bag, value in zip(held.bags, column, strict=True):
                if value is None:
                    del bag[key]
        if personal is not None:
            self._seal(personal, key, column, held)

    def _gather(
        self, values: list[Any], row: int, personal: bool, rows: list[int], bags: list[dict[str, Any]]
    ) -> None:
        """Collect the objects in a list; a list in a list is rare, and so is a personal value in one."""
        for value in values:
            if value.__class__ is dict:
                rows.append(row)
                bags.append(value)
            elif value.__class__ not in _SCALARS or (personal and value.__class__ not in (bool, _NONE)):
                self.odd.add(row)

    def _seal(self, personal: str, key: str, column: Sequence[Any], held: _Held) -> None:
        for row, bag, value in zip(held.rows, held.bags, column, strict=True):
            if value is None or value.__class__ in (bool, dict, list):
                continue
            entry = self.sealer.text(personal, str(value))
            self.undo.append((row, bag, key, value))
            bag[key] = entry.text
            if entry is not NOTHING:
                self.rows.append(row)
                self.sealed.append(entry)

    def restore(self) -> None:
        """Give the rows that are left over their values back."""
        if self.odd:
            for row, bag, key, value in self.undo:
                if row in self.odd:
                    bag[key] = value


def _rows(columns: _Columns, places: Ints, sealer: Sealer, rules: IdentityRules, ingested_at: int) -> Rows:
    count, kinds = len(places), columns["type"]
    times = [instants(columns[name]) for name in _TIMES]
    occurred, received, clamped, future = effective(times, ingested_at)
    if not PAGE_NAMES.keys().isdisjoint(kinds):
        _describe_pages(columns)
    properties, context = _holders(columns["properties"]), _holders(columns["context"])
    said = [bag if kind == "identify" else None for kind, bag in zip(kinds, columns["traits"], strict=True)]
    traits = _holders(said)
    bags = _Bags(sealer)
    bags.leave(np.logical_or.reduce([future, *(column.wrong for column in times)]))
    tokens: list[Tokens] = []
    carried: dict[bytes, Entry] = {}
    for kind, raws in _identifiers(columns, (traits, _inner_traits(context), properties), context, rules):
        column, entries = tokens_of(kind, sealer.identifiers(kind, raws))
        if np.count_nonzero(column.given) < count - raws.count(None):
            bags.leave(~column.given & [raw is not None for raw in raws])
        tokens.append(column)
        carried |= entries
    carried.pop(NOTHING.token, None)
    bags.leave(~np.logical_or.reduce([column.given for column in tokens]))
    bags.conceal("property", (), properties)
    bags.conceal("context", (), context)
    bags.conceal("trait", (), traits)
    texts = {
        name: _texts(held, count, bags) for name, held in (("properties", properties), ("context", context))
    }
    told = _traits(traits, bags)
    bags.restore()
    subject, listed = link(tokens)
    events = pa.table(
        {
            "message_id": columns["messageId"],
            "kind": kinds,
            "name": columns["event"],
            "occurred_at": pa.array(occurred).view(EVENT_TYPES["occurred_at"]),
            "received_at": pa.array(received).view(EVENT_TYPES["received_at"]),
            "clamped": pa.array(clamped),
            "subject": subject,
            "identifiers": listed,
            "account": pa.nulls(count, pa.string()),
            **texts,
        },
        schema=pa.schema(EVENT_TYPES),
    )
    kept = np.ones(count, dtype=np.bool_)
    kept[list(bags.odd)] = False
    return Rows(
        places=places,
        events=events,
        traits=told,
        identifiers=carried,
        sealed_rows=np.array(bags.rows, dtype=np.int64),
        sealed=bags.sealed,
    ).where(kept)


def _describe_pages(columns: _Columns) -> None:
    """Let names and categories of pages be properties of theirs, unless they are already."""
    for row, kind in enumerate(columns["type"]):
        for name in ("name", "category") if kind in PAGE_NAMES else ():
            value = columns[name][row]
            properties = columns["properties"][row] or {}
            if isinstance(value, str) and properties.get(name) is None:
                properties.pop(name, None)
                properties[name] = value
                columns["properties"][row] = properties


def _texts(held: _Held, count: int, bags: _Bags) -> pa.Array:
    """A column of JSON texts, `{}` for the rows that have nothing or are left over."""
    column = [b"{}"] * count
    kept = (
        [nth for nth, row in enumerate(held.rows) if row not in bags.odd]
        if bags.odd
        else range(len(held.rows))
    )
    texts = json_texts([held.bags[nth] for nth in kept])
    bags.odd.update(held.rows[kept[place]] for place in unfit_texts(texts))
    for nth, text in zip(kept, texts, strict=True):
        column[held.rows[nth]] = text or b"{}"
    return pa.array(column, pa.binary()).cast(pa.string())


def _inner_traits(context: _Held) -> _Held:
    """`context.traits`, where they are an object."""
    found = (
        [
            (row, bag["traits"])
            for row, bag in zip(context.rows, context.bags, strict=True)
            if isinstance(bag.get("traits"), dict)
        ]
        if any("traits" in keys for keys in context.shapes)
        else []
    )
    return _held([row for row, _ in found], [bag for _, bag in found])


def _identifiers(
    columns: _Columns, said: Sequence[_Held], context: _Held, rules: IdentityRules
) -> Iterator[tuple[str, list[str | None]]]:
    """Yield columns of identifiers, the highest priority first, as `parse_event` finds those of a message."""
    for name, keys in rules.keys:
        if name == "user_id":
            yield name, _as_texts(columns["userId"])
        elif name == "anonymous_id":
            yield name, _as_texts(columns["anonymousId"])
        elif name.startswith(("ios.", "android.")):
            if any("device" in shape for shape in context.shapes):
                column: list[str | None] = [None] * len(columns["type"])
                for row, bag in zip(context.rows, context.bags, strict=True):
                    for _, value in device_identifiers(name, bag.get("device")):
                        column[row] = value
                yield name, column
        else:
            for held in said:
                for key in keys:
                    at = [nth for shape, places in held.shapes.items() if key in shape for nth in places]
                    if at:
                        column = [None] * len(columns["type"])
                        for nth in at:
                            value = held.bags[nth][key]
                            if value and isinstance(value, (str, int)) and not isinstance(value, bool):
                                column[held.rows[nth]] = str(value)
                        yield name, column


def _as_texts(values: list[Any]) -> list[str | None]:
    if int not in set(map(type, values)):
        return values
    return [str(value) if value.__class__ is int else value for value in values]


def _traits(held: _Held, bags: _Bags) -> pa.Table:
    """One row a trait of those events that say some."""
    rows: list[int] = []
    names: list[str] = []
    column: list[bytes | None] = []
    for keys, at in held.shapes.items():
        kept = [nth for nth in at if held.rows[nth] not in bags.odd]
        theirs = [held.rows[nth] for nth in kept]
        for key in keys:
            values = [held.bags[nth][key] for nth in kept]
            texts = json_texts(values)
            bags.odd.update(theirs if looks_personal(key) else [theirs[nth] for nth in unfit_texts(texts)])
            rows += theirs
            names += [key] * len(theirs)
            column += [None if value is None else text for value, text in zip(values, texts, strict=True)]
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "name": pa.array(names, pa.string()),
            "value": pa.array(column, pa.binary()).cast(pa.string()),
        }
    )
