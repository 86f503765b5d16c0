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
    personal_texts,
    tokens_of,
)
from identity.events import OLD_SPELLINGS, PAGE_NAMES, device_identifiers
from identity.identifiers import IdentityRules
from identity.privacy.classification import Place
from identity.sealing import NOTHING, Entry, Sealer

__all__ = ["make_rows"]

_KINDS = {"track", "identify", *PAGE_NAMES}
_UNUSUAL = {"previousId", "groupId", *OLD_SPELLINGS}
_UNUSUAL_CONTEXT = {"consent", "groupId", "externalIds"}
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
_MESSAGE_ID = 200
"""Characters; a longer one is replaced by its hash."""

_FIELDS = (*_CLASSES, *_TIMES, "name", "category")

_Columns = dict[str, list[Any]]
_Shapes = dict[tuple[str, ...], Sequence[int]]


def make_rows(
    contents: Sequence[Any], first: int, sealer: Sealer, rules: IdentityRules, ingested_at: int
) -> tuple[Rows | None, list[int]]:
    """Make events of the messages that are of common shape.

    Args:
        contents: messages, and whatever else records hold. Personal values in those that become events are
            replaced in place.
        first: place of the first content in its file, counted in records.
        sealer: makes tokens.
        rules: decide which identifiers count.
        ingested_at: microseconds since 1970, UTC; stands for the receipt of a message that has no time.

    Returns:
        The events, and the places of the contents that are left over.
    """
    columns, places = _columns(contents)
    for rare in (_of_other_types, _of_rare_names, _of_rare_content):
        odd = rare(columns)
        if odd:
            kept = [nth for nth in range(len(places)) if nth not in odd]
            places = [places[nth] for nth in kept]
            columns = {name: [column[nth] for nth in kept] for name, column in columns.items()}
    if not places:
        return None, list(range(len(contents)))
    rows = _rows(columns, np.array(places, dtype=np.int64) + first, sealer, rules, ingested_at)
    left = np.ones(len(contents), dtype=np.bool_)
    left[rows.places - first] = False
    return rows, np.flatnonzero(left).tolist()


def _shapes(bags: Sequence[Mapping[str, Any]]) -> _Shapes:
    """Keys → the places of the objects that have just these."""
    keys = list(map(tuple, bags))
    distinct = set(keys)
    if len(distinct) == 1:
        return {keys[0]: range(len(keys))}
    found: dict[tuple[str, ...], list[int]] = {each: [] for each in distinct}
    for place, each in enumerate(keys):
        found[each].append(place)
    return found


def _columns(contents: Sequence[Any]) -> tuple[_Columns, list[int]]:
    """The fields of those messages that have an id and no rare field, and their places."""
    places = [place for place, content in enumerate(contents) if content.__class__ is dict]
    messages = [contents[place] for place in places]
    shapes = list(map(tuple, messages))
    distinct = set(shapes)
    rare = {keys for keys in distinct if "messageId" not in keys or not _UNUSUAL.isdisjoint(keys)}
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
    if "@" in "".join(ids) or not all(ids) or max(map(len, ids), default=0) > _MESSAGE_ID:
        odd.update(place for place, each in enumerate(ids) if not 0 < len(each) <= _MESSAGE_ID or "@" in each)
    if any(columns["context"]):
        for keys, at in _shapes([bag or {} for bag in columns["context"]]).items():
            if not _UNUSUAL_CONTEXT.isdisjoint(keys):
                odd.update(at)
            elif "traits" in keys:
                odd.update(place for place in at if columns["type"][place] == "identify")
    return odd


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

    def conceal(
        self, place: Place, path: tuple[str, ...], bags: Sequence[dict[str, Any]], rows: Sequence[int]
    ) -> None:
        """Replace personal values by what stands for them, and leave out properties that are null."""
        for keys, at in _shapes(bags).items():
            whole = len(at) == len(bags)
            some = bags if whole else [bags[nth] for nth in at]
            theirs = rows if whole else [rows[nth] for nth in at]
            # gathered before any of them is changed
            columns = list(zip(*[bag.values() for bag in some], strict=True))
            for key, column in zip(keys, columns, strict=True):
                self._conceal_column(place, (*path, key), key, column, some, theirs)

    def _conceal_column(
        self,
        place: Place,
        path: tuple[str, ...],
        key: str,
        column: Sequence[Any],
        bags: Sequence[dict[str, Any]],
        rows: Sequence[int],
    ) -> None:
        classes = set(map(type, column))
        nested = not classes.isdisjoint((dict, list))
        if not classes <= _SCALARS:
            allowed = {*_SCALARS, dict, list}
            self.odd.update(
                row for row, value in zip(rows, column, strict=True) if type(value) not in allowed
            )
        if type(key) is not str or (nested and key == "externalIds"):
            self.odd.update(rows)
            return
        personal = self.sealer.class_of(place, path)
        if nested:
            inner: list[dict[str, Any]] = []
            inner_rows: list[int] = []
            for row, value in zip(rows, column, strict=True):
                self._gather(value, row, personal, inner, inner_rows)
            self.conceal(place, path, inner, inner_rows)
        if _NONE in classes and place == "property" and len(path) == 1:
            for bag, value in zip(bags, column, strict=True):
                if value is None:
                    del bag[key]
        if personal is not None:
            self._seal(personal, key, column, bags, rows)

    def _gather(
        self, value: Any, row: int, personal: str | None, bags: list[dict[str, Any]], rows: list[int]
    ) -> None:
        """Collect the objects in a value, also through lists."""
        if value.__class__ is dict:
            bags.append(value)
            rows.append(row)
        elif value.__class__ is list:
            for inner in value:
                self._gather(inner, row, personal, bags, rows)
                rare = inner.__class__ not in _SCALARS and inner.__class__ not in (dict, list)
                if rare or (personal is not None and inner.__class__ not in (dict, list, bool, _NONE)):
                    self.odd.add(row)

    def _seal(
        self,
        personal: str,
        key: str,
        column: Sequence[Any],
        bags: Sequence[dict[str, Any]],
        rows: Sequence[int],
    ) -> None:
        for bag, row, value in zip(bags, rows, column, strict=True):
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
    everyone, kinds = range(len(places)), columns["type"]
    times = [instants(columns[name]) for name in _TIMES]
    occurred, received, clamped, future = effective(*times, ingested_at)
    properties = [bag or {} for bag in columns["properties"]]
    context = [bag or {} for bag in columns["context"]]
    said = [row for row, bag in enumerate(columns["traits"]) if bag and kinds[row] == "identify"]
    traits = [columns["traits"][row] for row in said]
    if not PAGE_NAMES.keys().isdisjoint(kinds):
        for row, kind in enumerate(kinds):
            if kind in PAGE_NAMES:
                _describe(properties[row], columns["name"][row], columns["category"][row])
    bags = _Bags(sealer)
    bags.leave(np.logical_or.reduce([future, *(column.wrong for column in times)]))
    tokens: list[Tokens] = []
    carried: dict[bytes, Entry] = {}
    bags_said = ((said, traits), (everyone, context), (everyone, properties))
    for kind, raws in _identifiers(columns, bags_said, rules):
        entries = sealer.identifiers(kind, raws)
        column = tokens_of(kind, entries)
        if np.count_nonzero(column.given) < len(raws) - raws.count(None):
            bags.leave(~column.given & [raw is not None for raw in raws])
        tokens.append(column)
        carried.update({entry.token: entry for entry in entries})
    carried.pop(NOTHING.token, None)
    bags.leave(~np.logical_or.reduce([column.given for column in tokens]))
    bags.conceal("property", (), properties, everyone)
    bags.conceal("context", (), context, everyone)
    bags.conceal("trait", (), traits, said)
    texts = {"properties": json_texts(properties), "context": json_texts(context)}
    for column_texts in texts.values():
        bags.odd.update(personal_texts(column_texts))
    told = _traits(traits, said, bags)
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
            "account": pa.nulls(len(places), pa.string()),
            **{name: pa.array(each, pa.binary()).cast(pa.string()) for name, each in texts.items()},
        },
        schema=pa.schema(EVENT_TYPES),
    )
    kept = np.ones(len(places), dtype=np.bool_)
    kept[list(bags.odd)] = False
    return Rows(
        places=places,
        events=events,
        traits=told,
        identifiers=carried,
        sealed_rows=np.array(bags.rows, dtype=np.int64),
        sealed=bags.sealed,
    ).where(kept)


def _describe(properties: dict[str, Any], name: Any, category: Any) -> None:
    """Let a page's name and category be properties, unless they are already."""
    for field_name, value in (("name", name), ("category", category)):
        if isinstance(value, str) and properties.get(field_name) is None:
            properties.pop(field_name, None)
            properties[field_name] = value


def _identifiers(
    columns: _Columns, bags: Sequence[tuple[Sequence[int], Sequence[dict[str, Any]]]], rules: IdentityRules
) -> Iterator[tuple[str, list[str | None]]]:
    """Yield columns of identifiers, the highest priority first, as `parse_event` finds those of a message."""
    traits, (_, context), properties = bags
    keys_of_context = {key for keys in set(map(tuple, context)) for key in keys}
    devices = [bag.get("device") for bag in context] if "device" in keys_of_context else []
    inner = [bag.get("traits") for bag in context] if "traits" in keys_of_context else []
    known = [row for row, bag in enumerate(inner) if isinstance(bag, dict)]
    inner = [inner[row] for row in known]
    said = [(rows, bag, _shapes(bag)) for rows, bag in (traits, (known, inner), properties)]
    for name, keys in rules.keys:
        if name == "user_id":
            yield name, _as_texts(columns["userId"])
        elif name == "anonymous_id":
            yield name, _as_texts(columns["anonymousId"])
        elif name.startswith(("ios.", "android.")):
            if devices:
                carried = [next(device_identifiers(name, device), None) for device in devices]
                yield name, [each and each[1] for each in carried]
        else:
            for rows, bags_said, shapes in said:
                for key in keys:
                    at = [nth for shape, places in shapes.items() if key in shape for nth in places]
                    if at:
                        column: list[str | None] = [None] * len(columns["type"])
                        for nth in at:
                            value = bags_said[nth][key]
                            if value and isinstance(value, (str, int)) and not isinstance(value, bool):
                                column[rows[nth]] = str(value)
                        yield name, column


def _as_texts(values: list[Any]) -> list[str | None]:
    if int not in set(map(type, values)):
        return values
    return [str(value) if value.__class__ is int else value for value in values]


def _traits(traits: Sequence[dict[str, Any]], said: Sequence[int], bags: _Bags) -> pa.Table:
    """One row a trait of those events that say some."""
    rows: list[int] = []
    names: list[str] = []
    texts: list[bytes | None] = []
    for keys, at in _shapes(traits).items():
        theirs = [said[nth] for nth in at]
        for key in keys:
            values = [traits[nth][key] for nth in at]
            column = json_texts(values)
            rare = range(len(theirs)) if looks_personal(str(key)) else personal_texts(column)
            bags.odd.update(theirs[nth] for nth in rare)
            rows += theirs
            names += [str(key)] * len(theirs)
            texts += [None if value is None else text for value, text in zip(values, column, strict=True)]
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "name": pa.array(names, pa.string()),
            "value": pa.array(texts, pa.binary()).cast(pa.string()),
        }
    )
