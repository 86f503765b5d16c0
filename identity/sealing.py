"""Personal values become tokens, each with a sealed value of its own; the recent ones are remembered.

Most values come again: what a value becomes is worked out once, also by the batch that is prepared while
another one is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from identity.canonical import canonical, looks_personal
from identity.identifiers import IdentityRules, is_blocked
from identity.privacy.classification import Place, field_class
from identity.privacy.vault import SEALED_PREFIX, Vault

__all__ = ["NOTHING", "Entry", "Sealer"]

_MEMORY = 500_000


class Entry(NamedTuple):
    """What a value became.

    Attributes:
        token: 16 bytes of its UUID.
        kind: its identifier type or personal class.
        value: the canonical value of a pseudonymous identifier, else None.
        blocked: True for an identifier that never links.
        sealed: the sealed value, when it is personal.
        text: what stands for a personal value inside traits, properties and context.
    """

    token: bytes
    kind: str
    value: str | None
    blocked: bool
    sealed: bytes | None
    text: str


NOTHING = Entry(bytes(16), "", None, True, None, "")
"""What a value that is not of its kind becomes; no token of a vault is all zeroes."""


class Sealer:
    """Turns values into tokens, by a vault and the identity rules of a project."""

    def __init__(self, vault: Vault, rules: IdentityRules) -> None:
        self._vault = vault
        self._rules = rules
        self._personal = {each.name for each in rules.types if each.personal}
        self._classes: dict[tuple[Place, tuple[str, ...]], str | None] = {}
        self._identifiers: dict[str, dict[str | None, Entry]] = {}
        self._texts: dict[str, dict[str | None, Entry]] = {}
        self._known = 0

    def identifier(self, kind: str, raw: str) -> Entry:
        """What an identifier becomes.

        Args:
            kind: its type.
            raw: as it was written.
        """
        return self.identifiers(kind, (raw,))[0]

    def identifiers(self, kind: str, raws: Sequence[str | None]) -> list[Entry]:
        """What many identifiers of one type become.

        Args:
            kind: their type.
            raws: as they were written; None becomes `NOTHING`.
        """
        memory = self._identifiers.setdefault(kind, {None: NOTHING})
        found = list(map(memory.get, raws))
        if all(found):
            return cast("list[Entry]", found)
        return [
            entry or (NOTHING if raw is None else self._entry(memory, kind, raw, identifier=True))
            for raw, entry in zip(raws, found, strict=True)
        ]

    def text(self, kind: str, raw: str) -> Entry:
        """What a personal value inside a message becomes.

        Args:
            kind: its class.
            raw: as it was written.
        """
        memory = self._texts.setdefault(kind, {})
        return memory.get(raw) or self._entry(memory, kind, raw, identifier=False)

    def _entry(self, memory: dict[str | None, Entry], kind: str, raw: str, *, identifier: bool) -> Entry:
        # asked again, since the same value may have come shortly before
        known = memory.get(raw)
        if known is not None:
            return known
        value = canonical(kind, raw, self._rules.default_region)
        if value is None and not identifier:
            value = raw.strip() or None
        entry = NOTHING
        if value is not None:
            token = self._vault.token_bytes(kind, value)
            blocked = identifier and is_blocked(kind, value, self._rules)
            if not identifier or kind in self._personal or looks_personal(value):
                name = UUID(bytes=token)
                sealed = self._vault.seal(kind, name, value)
                entry = Entry(token, kind, None, blocked, sealed, f"{SEALED_PREFIX}{name}")
            else:
                entry = Entry(token, kind, value, blocked, None, "")
        self._known += 1
        if self._known > _MEMORY:
            self._known = 1
            self._identifiers.clear()
            self._texts.clear()
        memory[raw] = entry
        return entry

    def class_of(self, place: Place, path: tuple[str, ...]) -> str | None:
        """Of which personal class the values at a path are, or None.

        Args:
            place: in which part of a message the path starts.
            path: keys from the outermost to the innermost.
        """
        known = self._classes.get((place, path), "")
        if known != "":
            return known
        if len(self._classes) >= _MEMORY:
            self._classes.clear()
        found = self._classes[place, path] = field_class(place, path, self._rules)
        return found

    def embedded(self, text: str, used: dict[bytes, Entry]) -> str:
        """Seal a text as a whole when an e-mail address stands in it; else return it as it is.

        Args:
            text: any text of a message.
            used: takes what the text became.
        """
        return self._sealed("text", text, used) if looks_personal(text) else text

    def conceal(self, place: Place, value: Any, path: tuple[str, ...], used: dict[bytes, Entry]) -> Any:
        """Replace every personal value in a tree by the text that stands for it.

        Args:
            place: in which part of a message the path starts.
            value: the tree.
            path: where it stands.
            used: takes what the values became.
        """
        if isinstance(value, dict):
            if path[-1:] == ("externalIds",):
                return self._external_id(value, used)
            concealed = {}
            for key, inner in value.items():
                name = str(key)
                if isinstance(inner, (dict, list, tuple)):
                    concealed[self.embedded(name, used)] = self.conceal(place, inner, (*path, name), used)
                    continue
                kind = self.class_of(place, (*path, name))
                concealed[self.embedded(name, used)] = self._scalar(kind, inner, used)
            return concealed
        if isinstance(value, (list, tuple)):
            return [self.conceal(place, inner, path, used) for inner in value]
        return self._scalar(self.class_of(place, path) if path else None, value, used)

    def _external_id(self, given: dict[str, Any], used: dict[bytes, Entry]) -> dict[str, Any]:
        """Conceal one of `context.externalIds`, whose `type` says what its `id` is."""
        kind = self.class_of("trait", (str(given.get("type", "")),))
        return {
            self.embedded(str(key), used): (
                self._scalar(kind, inner, used)
                if key == "id" and not isinstance(inner, (dict, list, tuple))
                else self.conceal("context", inner, (str(key),), used)
            )
            for key, inner in given.items()
        }

    def _scalar(self, kind: str | None, value: Any, used: dict[bytes, Entry]) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if kind is not None:
            return self._sealed(kind, str(value), used)
        if isinstance(value, str):
            return self.embedded(value, used)
        # bytes and the like are stored as their text
        hidden = not isinstance(value, (int, float)) and looks_personal(str(value))
        return self._sealed("text", str(value), used) if hidden else value

    def _sealed(self, kind: str, raw: str, used: dict[bytes, Entry]) -> str:
        entry = self.text(kind, raw)
        if entry is not NOTHING:
            used[entry.token] = entry
        return entry.text
