"""Segment-spec messages as data: parsing, checking, and the identifiers that a message carries.

Source: segment-docs `src/connections/spec/` (identify, track, page, screen, group, alias, common fields).
`integrations` is ignored. Older spellings that the same pages still show (`action` for `type`, `user_id` for
`userId`) are accepted. Null equals absent, except in traits, where it removes the trait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from identity.identifiers import IdentityRules

__all__ = [
    "FUTURE_LIMIT",
    "MAX_BYTES",
    "OLD_SPELLINGS",
    "PAGE_NAMES",
    "Event",
    "Refusal",
    "content_id",
    "device_identifiers",
    "microseconds",
    "parse_event",
]

MAX_BYTES = 32 * 1024
"""Bytes of one message, as Segment's tracking API allows."""

FUTURE_LIMIT = timedelta(days=366)
"""An instant further than this after its receipt is no clock skew but a mistake."""

PAGE_NAMES = {"page": "Page Viewed", "screen": "Screen Viewed"}
"""Names of the events that page and screen messages are."""

OLD_SPELLINGS = {
    "action": "type",
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "message_id": "messageId",
    "group_id": "groupId",
    "previous_id": "previousId",
    "received_at": "receivedAt",
    "sent_at": "sentAt",
    "original_timestamp": "originalTimestamp",
}
"""Names of fields that older libraries write, and what they are called now."""

_KINDS = {"identify", "track", "page", "screen", "group", "alias"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was refused: a short code and one sentence without any of its values."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted message. Instants are microseconds since 1970 in UTC.

    Attributes:
        message_id: unique for ever.
        kind: identify, track, page, screen, group or alias.
        name: what `did(...)` asks for; `Page Viewed` and `Screen Viewed` for pages and screens.
        occurred_at: when it happened, corrected for the sender's clock.
        received_at: when it was received.
        clamped: True when the corrected time lay after the receipt.
        identifiers: (type, value as written), the highest priority first.
        account: the group id, from a group message or `context.groupId`.
        traits: of an identify or group message; null removes a trait.
        properties: of the other messages.
        context: as sent, without consent.
        consent: category → granted, from `context.consent.categoryPreferences`.
    """

    message_id: str
    kind: str
    name: str
    occurred_at: int
    received_at: int
    clamped: bool
    identifiers: tuple[tuple[str, str], ...]
    account: str | None
    traits: dict[str, Any]
    properties: dict[str, Any]
    context: dict[str, Any]
    consent: dict[str, bool]


def content_id(message: Mapping[str, Any], occurrence: int) -> str:
    """Make the id of a message that has none, from what it says and how often the same was said before.

    Args:
        message: the message.
        occurrence: 0 for the first identical message of a file, 1 for the second, and so on.
    """
    text = orjson.dumps(message, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return "content-" + hashlib.sha256(text + occurrence.to_bytes(8, "big")).hexdigest()[:32]


def parse_event(message: Any, message_id: str, ingested_at: int, rules: IdentityRules) -> Event | Refusal:
    """Check one message and bring it into shape.

    The effective time is `receivedAt - (sentAt - originalTimestamp)`. A message without `receivedAt` counts
    as received when it was sent, one without `originalTimestamp` already has a corrected `timestamp`. A
    result after the receipt is set to the receipt and flagged.

    Args:
        message: what the record holds; anything but an object is refused.
        message_id: its id, used when the message itself has none.
        ingested_at: microseconds since 1970, UTC; stands for the receipt when the message has no time at all.
        rules: decide which identifiers count.

    Returns:
        The event, or why it was refused.
    """
    if not isinstance(message, dict):
        return Refusal("not_an_object", "A message is a JSON object.")
    if not OLD_SPELLINGS.keys().isdisjoint(message):
        renamed = {new: message[old] for old, new in OLD_SPELLINGS.items() if old in message}
        message = {**renamed, **{key: value for key, value in message.items() if value is not None}}
    kind = message.get("type")
    if not isinstance(kind, str) or kind.lower() not in _KINDS:
        return Refusal("unknown_type", f"`type` must be one of {', '.join(sorted(_KINDS))}.")
    kind = kind.lower()
    ids: dict[str, str | None] = {}
    for field in ("userId", "anonymousId", "previousId", "groupId"):
        value = message.get(field)
        if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
            return Refusal("wrong_type", f"`{field}` must be a text or a number.")
        ids[field] = str(value).strip() or None if value is not None else None
    objects: dict[str, dict[str, Any]] = {}
    for field in ("context", "traits", "properties"):
        value = message.get(field)
        if not isinstance(value, (dict, type(None))):
            return Refusal("wrong_type", f"`{field}` must be an object.")
        objects[field] = value or {}
    name = message.get("event") if kind == "track" else PAGE_NAMES.get(kind, "")
    if not isinstance(name, str) or (kind == "track" and not name.strip()):
        return Refusal("missing_event", "A track message needs an `event`, a text that is not empty.")
    times = _times(message, ingested_at)
    if isinstance(times, Refusal):
        return times
    if kind == "group" and not ids["groupId"]:
        return Refusal("missing_id", "A group message needs a `groupId`.")
    if kind == "alias" and not (ids["userId"] and ids["previousId"]):
        return Refusal("missing_id", "An alias message needs `userId` and `previousId`.")
    context = objects["context"]
    account = ids["groupId"] or context.get("groupId")
    traits = _traits(kind, objects)
    properties = _properties(kind, message, objects["properties"])
    context_traits = context.get("traits")
    said = () if kind == "group" else (traits, context_traits, properties)
    identifiers = tuple(_identifiers(ids, said, context, rules))
    if not identifiers:
        return Refusal(
            "missing_id", "No `userId`, `anonymousId` or other identifier: the event belongs to nobody."
        )
    return Event(
        message_id=_message_id(message.get("messageId")) or message_id,
        kind=kind,
        name=name,
        occurred_at=times[0],
        received_at=times[1],
        clamped=times[2],
        identifiers=identifiers,
        account=str(account) if isinstance(account, (str, int)) else None,
        traits=traits,
        properties=properties,
        context={key: value for key, value in context.items() if key != "consent"},
        consent=_consent(context.get("consent")),
    )


def _identifiers(
    ids: Mapping[str, str | None],
    said: Iterable[Any],
    context: Mapping[str, Any],
    rules: IdentityRules,
) -> Iterator[tuple[str, str]]:
    """Yield a message's identifiers, in order of priority.

    Read from: userId, anonymousId, previousId; e-mail, telephone and the project's own types from traits,
    context.traits and properties, under the type's name or its camelCase form; context.device by its type;
    context.externalIds.
    """
    bags = [bag for bag in said if isinstance(bag, dict) and bag]
    device = context.get("device")
    given = context.get("externalIds")
    external = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else ()
    for name, keys in rules.keys:
        if name == "user_id":
            if ids["userId"]:
                yield name, ids["userId"]
        elif name == "anonymous_id":
            for field in ("anonymousId", "previousId"):
                value = ids[field]
                if value:
                    yield name, value
        elif name.startswith(("ios.", "android.")):
            if device is not None:
                yield from device_identifiers(name, device)
        elif bags:
            for bag in bags:
                for key in keys:
                    value = bag.get(key)
                    if value and isinstance(value, (str, int)) and not isinstance(value, bool):
                        yield name, str(value)
        for entry in external:
            if entry.get("type") == name and entry.get("collection", "users") == "users":
                value = entry.get("id")
                if isinstance(value, (str, int)):
                    yield name, str(value)


def device_identifiers(name: str, device: Any) -> Iterator[tuple[str, str]]:
    """Yield the identifier of one type that `context.device` carries, if it does.

    Args:
        name: the type, such as `ios.idfa`.
        device: what stands in the message.
    """
    if not isinstance(device, dict):
        return
    system, _, part = name.partition(".")
    if str(device.get("type", "")).lower() != system:
        return
    if part == "idfa" and device.get("adTrackingEnabled") is not True:
        return
    value = device.get({"id": "id", "idfa": "advertisingId", "push_token": "token"}.get(part, part))
    if isinstance(value, str) and value:
        yield name, value


def _message_id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        return None
    text = str(value)
    if "@" in text or len(text) > 200:
        return "id-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
    return text


def _traits(kind: str, objects: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if kind == "identify":
        inner = objects["context"].get("traits")
        return {**(inner if isinstance(inner, dict) else {}), **objects["traits"]}
    return objects["traits"] if kind == "group" else {}


def _properties(kind: str, message: Mapping[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in properties.items() if value is not None}
    if kind in PAGE_NAMES:
        for field in ("name", "category"):
            if isinstance(message.get(field), str):
                kept.setdefault(field, message[field])
    return kept


def _consent(consent: Any) -> dict[str, bool]:
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if not isinstance(preferences, dict):
        return {}
    # anything but true is no grant: a text "true" may be a form's default
    return {str(key): value is True for key, value in preferences.items() if value is not None}


def _times(message: Mapping[str, Any], ingested_at: int) -> tuple[int, int, bool] | Refusal:
    found: dict[str, int | None] = {}
    for field in ("timestamp", "originalTimestamp", "sentAt", "receivedAt"):
        value = message.get(field)
        instant = microseconds(value)
        if value is not None and instant is None:
            return Refusal("bad_timestamp", f"`{field}` must be an ISO 8601 date and time.")
        found[field] = instant
    received, sent = found["receivedAt"], found["sentAt"]
    original = found["originalTimestamp"]
    stated = found["timestamp"] if found["timestamp"] is not None else original
    if received is None:
        original = stated
        received = sent if sent is not None else stated if stated is not None else ingested_at
    if original is not None and sent is not None:
        occurred = received - (sent - original)
    else:
        occurred = stated if stated is not None else received
    limit = FUTURE_LIMIT // _MICROSECOND
    if occurred - received > limit or received - ingested_at > limit:
        return Refusal("future", f"It says it happened over {FUTURE_LIMIT.days} days after it was received.")
    return min(occurred, received), received, occurred > received


def microseconds(value: Any) -> int | None:
    """An instant in microseconds since 1970, UTC.

    Args:
        value: an ISO 8601 text or a datetime; without a zone it is UTC.

    Returns:
        The instant, or None when the value is none.
    """
    if isinstance(value, datetime):
        when = value
    elif isinstance(value, str):
        try:
            when = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    else:
        return None
    try:
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except OverflowError:
        return None
    return (when - _EPOCH) // _MICROSECOND
