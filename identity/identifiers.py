"""Identifier types: what may link events to a person, how many a profile may hold, which values never link.

Defaults follow Segment Unify (segment-docs, `src/unify/identity-resolution`): user_id first, email second,
the rest alphabetically; one user_id, five of everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from identity.errors import ConfigurationError

__all__ = [
    "BLOCKED_PATTERNS",
    "BLOCKED_VALUES",
    "DEFAULT_TYPES",
    "IdentifierType",
    "IdentityRules",
    "Window",
    "anonymous_id",
    "custom",
    "email",
    "is_blocked",
    "phone",
    "user_id",
]

Window = Literal["ever", "weekly", "monthly", "annually"]
"""How far back a limit counts: 7, 30, 365 days, or for ever."""

# fmt: off
BLOCKED_VALUES = frozenset({
    "", "-1", "0", "true", "false", "null", "none", "nil", "nan", "n/a", "na", "undefined", "unknown",
    "anonymous", "anon", "guest", "default", "empty", "void", "not set", "(not set)", "notset",
    "not provided", "deleted", "not_authenticated", "unidentified", "distinct_id", "distinctid",
    "[object object]",
})
# fmt: on
"""Values that stand for nobody, compared after trimming, case folding, and without quotation marks around."""

BLOCKED_PATTERNS = (r"^[0-]*$", r"^\{\{.*\}\}$", r"^\$\{.*\}$", r"^%[^%]*%$", r"^\+?\d{0,3}?(\d)\1{6,}$")
"""Zeroes and dashes (an advertising id that was switched off), unfilled templates, one repeated digit."""

_BLOCKED_PATTERNS = tuple(map(re.compile, BLOCKED_PATTERNS))
_WINDOWS = ("ever", "weekly", "monthly", "annually")
_CAMEL = re.compile(r"[_.]([a-z0-9])")
_NAME = re.compile(r"[a-z][a-z0-9_.]*")


def _folded(values: Iterable[str], whose: str) -> frozenset[str]:
    if isinstance(values, str):
        raise ConfigurationError(f"{whose}: blocked is a list of values, not one text.")
    return frozenset(value.strip().casefold() for value in values)


@dataclass(frozen=True, slots=True)
class IdentifierType:
    """One kind of identifier.

    Attributes:
        name: lower-case name, such as `email` or `ios.idfa`.
        limit: how many a profile may hold; a link that would exceed it is not made.
        window: how far back the limit counts.
        priority: 1 is the highest; None takes the default place (after the given ones, alphabetically).
        personal: True when its values are personal data, and so are stored sealed.
        unique: True when two of them always mean two people (used by `conflict="drop_links"`).
        blocked: exact values of this type (trimmed, case-folded) that never link.
    """

    name: str
    limit: int = 5
    window: Window = "ever"
    priority: int | None = None
    personal: bool = False
    unique: bool = False
    blocked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigurationError: a malformed name, a limit below 1, or an unknown window.
        """
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"Identifier type {self.name!r}: a name is lower-case letters, digits, '_' and '.', "
                "and starts with a letter."
            )
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise ConfigurationError(f"Identifier type {self.name!r}: limit is a whole number from 1 up.")
        if self.window not in _WINDOWS:
            raise ConfigurationError(
                f"Identifier type {self.name!r}: window is one of {', '.join(_WINDOWS)}."
            )
        object.__setattr__(self, "blocked", _folded(self.blocked, f"Identifier type {self.name!r}"))


def user_id(
    *, limit: int = 1, window: Window = "ever", priority: int = 1, blocked: Iterable[str] = ()
) -> IdentifierType:
    """Your own id of a signed-in person (`userId`); two of them mean two people.

    Args:
        limit: how many a profile may hold.
        window: how far back the limit counts.
        priority: 1 is the highest.
        blocked: exact values of this type (trimmed, case-folded) that never link.
    """
    return IdentifierType(
        "user_id", limit, window, priority, unique=True, blocked=_folded(blocked, "user_id")
    )


def email(
    *,
    limit: int = 5,
    window: Window = "ever",
    priority: int = 2,
    unique: bool = False,
    blocked: Iterable[str] = (),
) -> IdentifierType:
    """An e-mail address, compared trimmed and in lower case.

    Args:
        limit: how many a profile may hold.
        window: how far back the limit counts.
        priority: 1 is the highest.
        unique: True when two of them always mean two people.
        blocked: exact values of this type (trimmed, case-folded) that never link.
    """
    return IdentifierType("email", limit, window, priority, True, unique, _folded(blocked, "email"))


def phone(
    *, limit: int = 5, window: Window = "ever", priority: int | None = None, blocked: Iterable[str] = ()
) -> IdentifierType:
    """A telephone number, compared in E.164; links profiles only when a project names it.

    Args:
        limit: how many a profile may hold.
        window: how far back the limit counts.
        priority: 1 is the highest; None takes the alphabetical place.
        blocked: exact values of this type (in E.164, trimmed, case-folded) that never link.
    """
    return IdentifierType("phone", limit, window, priority, personal=True, blocked=_folded(blocked, "phone"))


def anonymous_id(
    *, limit: int = 5, window: Window = "ever", priority: int | None = None, blocked: Iterable[str] = ()
) -> IdentifierType:
    """The id of a browser or an installation (`anonymousId`).

    Args:
        limit: how many a profile may hold.
        window: how far back the limit counts.
        priority: 1 is the highest; None takes the alphabetical place.
        blocked: exact values of this type (trimmed, case-folded) that never link.
    """
    return IdentifierType("anonymous_id", limit, window, priority, blocked=_folded(blocked, "anonymous_id"))


def custom(
    name: str,
    *,
    limit: int = 5,
    window: Window = "ever",
    priority: int | None = None,
    personal: bool = False,
    unique: bool = False,
    blocked: Iterable[str] = (),
) -> IdentifierType:
    """An identifier type of your own, read from traits and properties of that name and `context.externalIds`.

    Args:
        name: lower-case name; `member_no` is also found as `memberNo`.
        limit: how many a profile may hold.
        window: how far back the limit counts.
        priority: 1 is the highest; None takes the alphabetical place.
        personal: True stores its values sealed.
        unique: True when two of them always mean two people.
        blocked: exact values of this type (trimmed, case-folded) that never link.

    Raises:
        ConfigurationError: a malformed name or limit.
    """
    return IdentifierType(name, limit, window, priority, personal, unique, _folded(blocked, name))


DEFAULT_TYPES = (
    user_id(),
    email(),
    *(
        IdentifierType(name)
        for name in (
            "android.id",
            "android.idfa",
            "android.push_token",
            "anonymous_id",
            "ga_client_id",
            "ios.id",
            "ios.idfa",
            "ios.push_token",
        )
    ),
)
"""The types that link profiles when a project says nothing."""


@dataclass(frozen=True, slots=True, init=False)
class IdentityRules:
    """How events become profiles.

    Attributes:
        types: every identifier type, in order of priority.
        blocked: exact values (trimmed, case-folded) that never link, besides the defaults.
        blocked_patterns: regular expressions of values that never link, besides the defaults.
        default_region: ISO country code for telephone numbers written without one.
        keys: type → the trait and property keys that it is read from; follows from `types`.
        conflict: what to do when a link would exceed a limit: `demote` the event's lowest-priority
            identifier and try again (Segment), or `drop_links` that would double a unique type (Adobe).
        max_merges: profiles that one profile may absorb; beyond it, an event belongs to it and links nothing.
        max_identifiers: identifiers that one profile may hold; beyond it, likewise.
    """

    types: tuple[IdentifierType, ...]
    blocked: frozenset[str]
    blocked_patterns: tuple[str, ...]
    default_region: str
    conflict: Literal["demote", "drop_links"]
    max_merges: int
    max_identifiers: int
    keys: tuple[tuple[str, tuple[str, ...]], ...]

    def __init__(
        self,
        *types: IdentifierType,
        blocked: Iterable[str] = (),
        blocked_patterns: Sequence[str] = (),
        default_region: str = "US",
        conflict: Literal["demote", "drop_links"] = "demote",
        max_merges: int = 100,
        max_identifiers: int = 1000,
    ) -> None:
        """Name the types that differ from the defaults; the other defaults stay.

        Raises:
            ConfigurationError: a type named twice, a broken pattern, an unknown region or conflict rule, or a
                cap that is too low.
        """
        given = {each.name: each for each in types}
        if len(given) < len(types):
            raise ConfigurationError("An identifier type is named twice in IdentityRules.")
        if conflict not in ("demote", "drop_links"):
            raise ConfigurationError("IdentityRules: conflict is 'demote' or 'drop_links'.")
        if not re.fullmatch(r"[A-Z]{2}", default_region):
            raise ConfigurationError("IdentityRules: default_region is an ISO country code such as 'US'.")
        for pattern in blocked_patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigurationError(f"IdentityRules: blocked pattern {pattern!r}: {error}.") from None
        for cap, value, least in (("max_merges", max_merges, 0), ("max_identifiers", max_identifiers, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"IdentityRules: {cap} is a whole number from {least} up.")
        every = {each.name: each for each in DEFAULT_TYPES} | given
        object.__setattr__(self, "types", _ranked(every.values()))
        object.__setattr__(self, "blocked", _folded(blocked, "IdentityRules"))
        object.__setattr__(self, "blocked_patterns", tuple(blocked_patterns))
        object.__setattr__(self, "default_region", default_region)
        object.__setattr__(self, "conflict", conflict)
        object.__setattr__(self, "max_merges", max_merges)
        object.__setattr__(self, "max_identifiers", max_identifiers)
        object.__setattr__(self, "keys", tuple((each.name, _keys(each.name)) for each in self.types))


def _ranked(types: Iterable[IdentifierType]) -> tuple[IdentifierType, ...]:
    order = sorted(types, key=lambda each: (each.priority is None, each.priority or 0, each.name))
    return tuple(replace(each, priority=rank) for rank, each in enumerate(order, start=1))


def _keys(name: str) -> tuple[str, ...]:
    camel = _CAMEL.sub(lambda match: match[1].upper(), name)
    return (name,) if camel == name else (name, camel)


def is_blocked(kind: str, value: str, rules: IdentityRules) -> bool:
    """Say whether a value never links, because it stands for nobody or is known to be shared.

    Args:
        kind: the type of the identifier.
        value: a canonical identifier value.
        rules: the project's identity rules.
    """
    folded = value.strip().casefold()
    bare = folded.strip("'\"")
    if bare in BLOCKED_VALUES or folded in rules.blocked:
        return True
    if any(folded in each.blocked for each in rules.types if each.blocked and each.name == kind):
        return True
    for pattern in _BLOCKED_PATTERNS:
        if pattern.search(bare):
            return True
    return any(re.search(pattern, folded) for pattern in rules.blocked_patterns)
