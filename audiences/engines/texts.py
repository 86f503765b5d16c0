"""Which texts are numbers and instants, and how letters are folded: the same on every engine."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

__all__ = [
    "DECIMAL",
    "INSTANT",
    "ZONE",
    "accented",
    "capitals",
    "fold",
    "foldable",
    "marks",
    "rewritten",
]

DECIMAL = "[+-]?[0-9]{1,15}(?:[.][0-9]{1,9})?"
"""The texts that `numeric` reads as numbers."""

ZONE = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
"""How an instant ends that names its distance from UTC."""

_LONG = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
_SHORT = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_FEBRUARY = "02-(?:0[1-9]|1[0-9]|2[0-8])"
_LEAP = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29"
_DATE = f"(?:[1-9][0-9]{{3}}-(?:{_LONG}|{_SHORT}|{_FEBRUARY})|{_LEAP})"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,6})?)?"
INSTANT = f"{_DATE}(?:[T ]{_TIME}{ZONE}?)?"
"""The ISO-8601 texts that are instants, days that exist only; UTC when they name no zone.

Years are 1000 to 9999: year 1, with which some programs say "not set", is no date. Hour 24 and second 60 are
none either; offsets reach 14:00, as they do on earth.
"""

_FOLDABLE = (
    (0x0001, 0x0482),
    (0x048A, 0x052F),
    (0x1D00, 0x1DBF),
    (0x1E00, 0x20CF),
    (0x2100, 0x2BFF),
    (0x2C60, 0x2C7F),
    (0xA640, 0xA66E),
    (0xA680, 0xA69D),
    (0xA720, 0xA7FF),
    (0xFB00, 0xFB06),
    (0xFE0F, 0xFE0F),
    (0x1F000, 0x1FAFF),
)
"""Latin, Greek and Cyrillic letters, the marks on them, and what stands between letters of any language."""
_MARKS = ((0x0300, 0x036F), (0xFE0F, 0xFE0F))
"""The marks on those letters, and the one that makes a sign an emoji."""


def fold(text: str) -> str:
    """Write a text in lower case without accents, as every engine's `folded` does.

    Accents go from texts of Latin, Greek and Cyrillic letters only (and signs, digits, emoji): in other
    scripts a mark is often a letter. A text with any other letter only loses its case. Letters are lowered
    one by one, so ß stays; both forms of the small sigma are one.

    Args:
        text: any text.
    """
    if re.fullmatch(foldable(_in_python), text):
        text = re.sub(marks(_in_python), "", unicodedata.normalize("NFD", text))
    else:
        text = unicodedata.normalize("NFC", text)
    return "".join(letter.lower() for letter in text).replace("ς", "σ")


def foldable(escape: Callable[[int], str]) -> str:
    """The pattern of a whole text whose accents go.

    Args:
        escape: how a dialect's patterns name a code point.
    """
    return f"{_class(_FOLDABLE, escape)}*"


def marks(escape: Callable[[int], str]) -> str:
    """The pattern of a mark that goes, in a text in which letters and marks are apart.

    Args:
        escape: how a dialect's patterns name a code point.
    """
    return _class(_MARKS, escape)


@cache
def accented() -> tuple[str, str]:
    """For engines that can't take a letter and its marks apart: letters with marks, and each without."""
    pairs = []
    for letter in _foldable_letters():
        bare = re.sub(marks(_in_python), "", unicodedata.normalize("NFD", letter))
        if bare != letter and len(bare) == 1:
            pairs.append((letter, bare))
    return "".join(letter for letter, _ in pairs), "".join(bare for _, bare in pairs)


@cache
def capitals() -> tuple[str, str]:
    """For engines that lower ASCII only: all other foldable capitals without marks, and each in small."""
    pairs = [
        (letter, letter.lower())
        for letter in _foldable_letters()
        if letter.lower() != letter
        and not letter.isascii()
        and unicodedata.normalize("NFD", letter) == letter
    ]
    return "".join(letter for letter, _ in pairs), "".join(small for _, small in pairs)


def rewritten(pattern: str, parts: dict[str, str]) -> str:
    """A portable pattern in a dialect that writes some of its parts differently.

    Args:
        pattern: a portable pattern.
        parts: `$` or `(?:` → what the dialect writes; escapes and classes stay as they are.
    """
    return re.sub(
        r"\\.|\[(?:\\.|[^\]\\])*\]|\(\?:|\$", lambda found: parts.get(found[0], found[0]), pattern, flags=re.S
    )


def _foldable_letters() -> list[str]:
    return [chr(code) for first, last in _FOLDABLE for code in range(first, last + 1)]


def _class(ranges: tuple[tuple[int, int], ...], escape: Callable[[int], str]) -> str:
    parts = (escape(first) if first == last else f"{escape(first)}-{escape(last)}" for first, last in ranges)
    return f"[{''.join(parts)}]"


def _in_python(code: int) -> str:
    return f"\\U{code:08x}"
