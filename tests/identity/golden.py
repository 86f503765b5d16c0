"""Golden cases in our words: a published stream as messages that we ingest, its settings as our rules.

Other systems say the same things in other words: an id that they hold for a signed-in person is a `user_id`
here, a device's, a browser's or a profile's id an `anonymous_id`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from identity.canonical import canonical
from identity.identifiers import IdentifierType, IdentityRules, anonymous_id, custom, email, phone, user_id

OWN = {"segment_flat", "segment_flat_canonical", "adobe", "connected_components"}
"""Algorithms that our rules can be set to; the others run with our defaults."""

KNOWN_SETTINGS = {
    *("algorithm", "priorities", "limits", "default_limit", "blocked", "unique", "max_merges", "max_mappings")
}
ROLES = {
    "device_id": "anonymous_id",
    "cookie": "anonymous_id",
    "profile": "anonymous_id",
    "idfv": "anonymous_id",
    "merge_id": "user_id",
    "customer_id": "user_id",
}

PLACEHOLDERS = {"anon"}
"""Values that a case names a device by, about which it says nothing else, and which we block."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a case: its message id, its time, its identifiers by the case's names, its traits."""

    message_id: str
    at: datetime
    ids: tuple[str, ...]
    account: str | None
    traits: Mapping[str, Any]


@dataclass(frozen=True)
class Golden:
    """One case, and how its identifiers are spelled in our messages.

    Attributes:
        case: the row as published.
        spelled: identifier by the case's name → our type and the value that stands for it.
    """

    case: Mapping[str, Any]
    spelled: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Spell every identifier, each differently.

        Raises:
            ValueError: the case asks for what nobody has translated.
        """
        unknown = self.case["settings"].keys() - KNOWN_SETTINGS
        if unknown:
            raise ValueError(f"unknown settings: {sorted(unknown)}")
        deleted = {name for one, other, _ in self.deleted for name in (one, other)}
        for name in sorted({name for event in self.told for name in event.ids} | deleted):
            kind, value = name.split(":", 1)
            if kind == "distinct_id":
                ours = "user_id" if value in self._signed_in else "anonymous_id"
            else:
                ours = kind.lower() if self.algorithm in OWN else ROLES.get(kind, kind)
            self.spelled[name] = (ours, _spell(ours, value, len(self.spelled)))
        assert len({(a, canonical(a, b, "US")) for a, b in self.spelled.values()}) == len(self.spelled)

    @property
    def name(self) -> str:
        """The case's name."""
        return str(self.case["name"])

    @property
    def algorithm(self) -> str:
        """The name of the system's rule."""
        return str(self.case["settings"]["algorithm"])

    @cached_property
    def told(self) -> tuple[Told, ...]:
        """The events in order of arrival."""
        return tuple(
            Told(
                message_id=event["id"],
                at=datetime.fromisoformat(event["ts"]),
                ids=tuple(name for name in _names(event) if not name.startswith("group_id:")),
                account=next((name[9:] for name in _names(event) if name.startswith("group_id:")), None),
                traits=event.get("traits") or event.get("set") or {},
            )
            for event in self.case["events"]
            if event.get("op") != "delete_identifier"
        )

    @cached_property
    def deleted(self) -> tuple[tuple[str, str, datetime], ...]:
        """Identifiers that a person took out of a profile: which one, one that stays, and when."""
        return tuple(
            (event["id_to_delete"], event["by"], datetime.fromisoformat(event["ts"]))
            for event in self.case["events"]
            if event.get("op") == "delete_identifier"
        )

    @cached_property
    def _signed_in(self) -> set[str]:
        """Distinct ids that the case calls a person's own, by identifying or merging them."""
        events = self.case["events"]
        named = {
            event["distinct_id"]
            for event in events
            if event.get("op") in ("identify", "alias", "merge_dangerously") and "distinct_id" in event
        }
        return named | {
            name
            for event in events
            for name in (event.get("identified_id"), *event.get("distinct_ids", ()))
            if name
        }

    @cached_property
    def messages(self) -> tuple[dict[str, object], ...]:
        """The events as messages, in order of arrival."""
        return tuple(self._message(each) for each in self.told)

    def _message(self, told: Told) -> dict[str, object]:
        at = told.at.isoformat()
        body: dict[str, object] = {"messageId": told.message_id, "timestamp": at, "receivedAt": at}
        body |= {"type": "identify", "traits": told.traits} if told.traits else {}
        body = {"type": "track", "event": "Said", **body}
        context: dict[str, object] = {"groupId": told.account} if told.account else {}
        properties: dict[str, str] = {}
        external: list[dict[str, str]] = []
        for kind, value in (self.spelled[name] for name in told.ids):
            key = {"user_id": "userId", "anonymous_id": "anonymousId"}.get(kind)
            if key and key not in body:
                body[key] = value
            elif kind in ("email", "phone") and kind not in properties and not told.traits:
                properties[kind] = value
            else:
                external.append({"id": value, "type": kind, "collection": "users", "encoding": "none"})
        return {**body, "properties": properties, "context": {**context, "externalIds": external}}

    @cached_property
    def rules(self) -> IdentityRules:
        """The case's settings; those of a system whose rule we don't have are our defaults."""
        given = self.case["settings"]
        if self.algorithm not in OWN:
            return IdentityRules()
        blocked = given.get("blocked", {})
        return IdentityRules(
            *(self._type(name) for name in sorted({name.split(":")[0] for name in self.spelled})),
            blocked=blocked.get("exact", ()),
            blocked_patterns=blocked.get("regex", ()),
            conflict="drop_links" if self.algorithm == "adobe" else "demote",
            max_merges=given.get("max_merges", 100),
            max_identifiers=given.get("max_mappings", 1000),
        )

    def _type(self, name: str) -> IdentifierType:
        given = self.case["settings"]
        default = 1000 if self.algorithm == "connected_components" else given.get("default_limit", 5)
        limit = given.get("limits", {}).get(name, default)
        limit = limit if isinstance(limit, dict) else {"n": limit}
        asked: dict[str, Any] = {
            "limit": limit["n"],
            "window": limit.get("window", "ever"),
            "blocked": list(self._blocked(name)),
        }
        if name in given.get("priorities", {}):
            asked["priority"] = given["priorities"][name]
        unique = name in given.get("unique", ())
        known = {"user_id": user_id, "phone": phone, "anonymous_id": anonymous_id}
        if name.lower() == "email":
            return email(unique=unique, **asked)
        if name.lower() in known:
            assert unique is False or name == "user_id", name
            return known[name.lower()](**asked)
        return custom(name.lower(), unique=unique, **asked)

    def _blocked(self, kind: str) -> Iterator[str]:
        """What the case blocks of one type, as we spell it."""
        blocked = self.case["settings"].get("blocked", {})
        for name, (_, spelled) in self.spelled.items():
            own, value = name.split(":", 1)
            if own != kind:
                continue
            by_type = value in blocked.get("by_type", {}).get(kind, ())
            anywhere = value in blocked.get("exact", ()) or any(
                re.search(pattern, value) for pattern in blocked.get("regex", ())
            )
            # what is spelled as published is left to the rules for all types
            if by_type or (anywhere and spelled != value):
                yield spelled


def _names(event: Mapping[str, Any]) -> Iterator[str]:
    """An event's identifiers as the case's expected profiles name them."""
    known = {"id", "ts", "ids", "traits", "set", "op"}
    yield from event.get("ids", ())
    for key, value in event.items():
        if key in ("distinct_id", "anon_distinct_id", "alias", "identified_id", "anon_id"):
            yield f"distinct_id:{value}"
        elif key == "distinct_ids":
            yield from (f"distinct_id:{each}" for each in value)
        elif key in ("merge", "value"):
            yield f"merge_id:{value}"
        elif key in ("device_id", "user_id", "cookie", "profile"):
            if value is not None:
                yield f"{key}:{value}"
        elif key not in known:
            raise ValueError(f"unknown field of an event: {key}")


def _spell(kind: str, value: str, number: int) -> str:
    """A value itself where we read it as it stands; otherwise one of its kind that stands for it alone."""
    if canonical(kind, value, "US") == value and value not in PLACEHOLDERS:
        return value
    if kind == "phone":
        return f"+1212555{number:04}"
    plain = value if re.fullmatch("[a-z0-9]+", value) and kind == "email" else f"x-{value.encode().hex()}"
    return f"{plain}@golden.example" if kind == "email" else plain
