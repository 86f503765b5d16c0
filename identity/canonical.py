"""Canonical forms: the one spelling of a value that is compared, hashed and sealed.

E-mail: trimmed, NFC, lower case, domain in IDNA ASCII. Telephone: E.164 (ITU-T), through phonenumbers, with
a digits-only path for well-formed North American numbers, which is about fifty times faster.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["MAX_LENGTH", "canonical", "canonical_email", "canonical_phone", "looks_personal"]

MAX_LENGTH = 500
"""Characters; longer values are no identifiers."""

_EMAIL = re.compile(r"[^@\s\x00-\x1f,;<>\"()]+@[^@\s\x00-\x1f,;<>\"()]+\.[^@\s.\x00-\x1f,;<>\"()]{2,}")
_EMBEDDED_EMAIL = re.compile(r"[A-Za-z0-9._+\-]+(?:@|%40)[A-Za-z0-9\-]+\.[A-Za-z0-9.\-]{2,}", re.IGNORECASE)
_NANP = re.compile(r"\+?1?[\s.\-]?\(?([2-9]\d{2})\)?[\s.\-]?([2-9]\d{2})[\s.\-]?(\d{4})")
_INTERNATIONAL_NANP = re.compile(r"\+1([2-9]\d{2})([2-9]\d{2})(\d{4})")


def canonical_email(value: str) -> str | None:
    """Bring an e-mail address to its canonical form.

    Args:
        value: as it was written.

    Returns:
        The canonical address, or None when it is none.
    """
    text = unicodedata.normalize("NFC", value).strip().lower()
    if len(text) > 254 or not _EMAIL.fullmatch(text):
        return None
    local, _, domain = text.rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return f"{local}@{domain}"


@lru_cache(maxsize=65_536)
def canonical_phone(value: str, region: str) -> str | None:
    """Bring a telephone number to E.164.

    Args:
        value: as it was written.
        region: ISO country code for numbers without a country code.

    Returns:
        `+` and digits, or None when it is no valid number.
    """
    text = unicodedata.normalize("NFKC", value).strip()
    well_formed = (_NANP if region == "US" else _INTERNATIONAL_NANP).fullmatch(text)
    if well_formed:
        return "+1" + "".join(well_formed.groups())
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def canonical(kind: str, value: str, region: str) -> str | None:
    """Bring an identifier or a personal value of any class to its canonical form.

    Args:
        kind: an identifier type's name or a personal class, such as `email`, `ios.idfa`, `first_name`.
        value: as it was written.
        region: ISO country code for telephone numbers without one.

    Returns:
        The canonical form, or None when the value is empty, too long, or not of its kind.
    """
    if kind == "email":
        return canonical_email(value)
    if kind == "phone":
        return canonical_phone(value, region)
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > MAX_LENGTH:
        return None
    return text.lower() if kind.endswith(".idfa") else text


def looks_personal(text: str) -> bool:
    """Say whether a text contains an e-mail address, also one that is escaped in a URL."""
    return ("@" in text or "%40" in text) and _EMBEDDED_EMAIL.search(text) is not None
