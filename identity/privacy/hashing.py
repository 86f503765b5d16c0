"""Hashed identifiers: the only form in which a person's identifier leaves `identity/`.

A recipe is one platform's published way to bring a field to its form before SHA-256 (UTF-8, lower-case hex).
Sources: Meta, "Hashing and normalization for customer data"; Google, Data Manager API "Format user data".
A hashed e-mail address is still personal data: the platform can recognise the person, and so can anybody who
guesses the address.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from identity.errors import HashingError, did_you_mean

__all__ = ["RECIPES", "Candidate", "HashedIdentifier", "Recipe", "hash_value", "restore"]

_MADE_HERE = object()
_HEX = re.compile(r"[0-9a-f]{64}")
_LOOKS_HASHED = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")


class HashedIdentifier:
    """A SHA-256 digest in one platform's format; made by `hash_value` or, from the ledger, by `restore`.

    Attributes:
        kind: which field it was, such as `email`.
        recipe: how it was brought to its form, such as `meta.email`.
        digest: 64 lower-case hexadecimal digits.
    """

    __slots__ = ("digest", "kind", "recipe")
    kind: str
    recipe: str
    digest: str

    def __init__(self, kind: str, recipe: str, digest: str, *, made_here: object = None) -> None:
        """Refuse to be made anywhere else.

        Raises:
            HashingError: always, outside this module.
        """
        if made_here is not _MADE_HERE or not _HEX.fullmatch(digest):
            raise HashingError("A HashedIdentifier is made by hash_value(…) only, from a value and a recipe.")
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "recipe", recipe)
        object.__setattr__(self, "digest", digest)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse to change.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"A HashedIdentifier does not change ({name}).")

    def __eq__(self, other: object) -> bool:
        """Equal when recipe and digest are."""
        if not isinstance(other, HashedIdentifier):
            return NotImplemented
        return (self.recipe, self.digest) == (other.recipe, other.digest)

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((self.recipe, self.digest))

    def __repr__(self) -> str:
        """Show the beginning only: a whole digest names a person to whoever holds the same one."""
        return f"HashedIdentifier({self.recipe} {self.digest[:6]}…)"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as what the ledger keeps."""
        return restore, (self.kind, self.recipe, self.digest)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person who may be sent: the tokens under which consent is asked, and the hashed match keys.

    Attributes:
        profile_id: the person.
        subjects: ids of all of the person's identifiers.
        keys: hashed match keys in one platform's format; empty when there are none.
    """

    profile_id: str
    subjects: tuple[str, ...]
    keys: tuple[HashedIdentifier, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One platform's way with one field.

    Attributes:
        name: `platform.field`.
        kind: the field.
        form: brings a value to the platform's form; an empty result means that it has none.
    """

    name: str
    kind: str
    form: Callable[[str], str]


def hash_value(recipe: str, value: str) -> HashedIdentifier:
    """Bring a value to a platform's form and hash it.

    Args:
        recipe: name of the recipe, such as `google.email`.
        value: the plain value.

    Raises:
        HashingError: no such recipe, or the value has no form there; the value is not repeated.
    """
    found = RECIPES.get(recipe)
    if found is None:
        raise HashingError(f"There is no recipe {recipe!r}.{did_you_mean(recipe, RECIPES)}")
    if _LOOKS_HASHED.fullmatch(value.strip()):
        raise HashingError(f"A value for {recipe} looks hashed already; give the plain one.")
    form = found.form(unicodedata.normalize("NFC", value))
    if not form:
        raise HashingError(f"A value has no form as {recipe}.")
    digest = hashlib.sha256(form.encode("utf-8")).hexdigest()
    return HashedIdentifier(found.kind, found.name, digest, made_here=_MADE_HERE)


def restore(kind: str, recipe: str, digest: str) -> HashedIdentifier:
    """Take back a hashed identifier that the ledger kept.

    Args:
        kind: its field.
        recipe: how it was made.
        digest: 64 lower-case hexadecimal digits.

    Raises:
        HashingError: that is no digest.
    """
    return HashedIdentifier(kind, recipe, digest, made_here=_MADE_HERE)


_GMAIL = ("gmail.com", "googlemail.com")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_HONORIFICS = re.compile(r"^(?:mr|mrs|ms|dr)\.?\s+")
_SUFFIXES = re.compile(r"(?:[\s,]+(?:jr|sr|2nd|3rd|ii|iii|iv|v|vi|cpa|dc|dds|vm|jd|md|phd)\.?)+$")
_US_STATES = MappingProxyType(
    dict(
        pair.split(":")
        for pair in (
            "alabama:al alaska:ak arizona:az arkansas:ar california:ca colorado:co connecticut:ct "
            "delaware:de florida:fl georgia:ga hawaii:hi idaho:id illinois:il indiana:in iowa:ia "
            "kansas:ks kentucky:ky louisiana:la maine:me maryland:md massachusetts:ma michigan:mi "
            "minnesota:mn mississippi:ms missouri:mo montana:mt nebraska:ne nevada:nv newhampshire:nh "
            "newjersey:nj newmexico:nm newyork:ny northcarolina:nc northdakota:nd ohio:oh oklahoma:ok "
            "oregon:or pennsylvania:pa rhodeisland:ri southcarolina:sc southdakota:sd tennessee:tn "
            "texas:tx utah:ut vermont:vt virginia:va washington:wa westvirginia:wv wisconsin:wi "
            "wyoming:wy districtofcolumbia:dc"
        ).split()
    )
)


def _meta_email(value: str) -> str:
    text = value.strip().lower()
    return text if _EMAIL.fullmatch(text) else ""


def _google_email(value: str) -> str:
    text = re.sub(r"\s", "", value).lower()
    local, _, domain = text.rpartition("@")
    if domain in _GMAIL:
        text = f"{local.partition('+')[0].replace('.', '')}@{domain}"
    return text if _EMAIL.fullmatch(text) else ""


def _digits(value: str) -> str:
    return re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", value))


def _meta_phone(value: str) -> str:
    return _digits(value).lstrip("0")


def _google_phone(value: str) -> str:
    digits = _digits(value)
    return f"+{digits}" if digits.strip("0") else ""


def _letters(value: str) -> str:
    """Lower case without spaces, punctuation and digits' company: letters of any script, and digits."""
    return "".join(character for character in value.lower() if character.isalnum())


def _plain_letters(value: str) -> str:
    return re.sub(r"[^a-z]", "", value.lower())


def _gender(value: str) -> str:
    return {"m": "m", "male": "m", "f": "f", "female": "f"}.get(value.strip().lower(), "")


def _number_between(lowest: int, highest: int, width: int) -> Callable[[str], str]:
    def form(value: str) -> str:
        text = value.strip()
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            return ""
        return f"{int(text):0{width}d}"

    return form


def _state(value: str) -> str:
    text = _letters(value)
    return _US_STATES.get(text, text)


def _zip(value: str) -> str:
    text = re.sub(r"\s", "", value).lower()
    return text[:5] if re.fullmatch(r"\d{5}-?\d{4}", text) else text.replace("-", "")


def _country(value: str) -> str:
    text = _plain_letters(value)
    return text if len(text) == 2 else ""


def _given_name(value: str) -> str:
    return _HONORIFICS.sub("", " ".join(value.lower().split()))


def _family_name(value: str) -> str:
    return _SUFFIXES.sub("", " ".join(value.lower().split())).strip(" ,")


_FORMS: Mapping[str, Mapping[str, Callable[[str], str]]] = {
    "meta": {
        "email": _meta_email,
        "phone": _meta_phone,
        "first_name": _letters,
        "last_name": _letters,
        "first_initial": lambda value: _plain_letters(value)[:1],
        "gender": _gender,
        "doby": _number_between(1900, 2100, 4),
        "dobm": _number_between(1, 12, 2),
        "dobd": _number_between(1, 31, 2),
        "city": _plain_letters,
        "state": _state,
        "zip": _zip,
        "country": _country,
    },
    "google": {
        "email": _google_email,
        "phone": _google_phone,
        "given_name": _given_name,
        "family_name": _family_name,
    },
    # files follow the plainest published form, which Meta's is
    "file": {"email": _meta_email, "phone": _google_phone},
}

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        f"{platform}.{kind}": Recipe(f"{platform}.{kind}", kind, form)
        for platform, forms in _FORMS.items()
        for kind, form in forms.items()
    }
)
"""Every recipe by name."""
