r"""Patterns for `matches` that mean the same, and take linear time, on every engine.

RE2 (DuckDB), PostgreSQL and Python differ in what `.`, `$`, `\d` and repetition mean, so a pattern is read
here and written anew in the small language that they share:

- characters; `.` for any but a line feed; `[a-z]`, `[^…]`; `\d \w \s \D \W \S` for ASCII digits, word
  characters and white space; `\n \t \r \f \v`; `\` before a sign that would mean something else
- `(…)` and `(?:…)`, which are the same; `|` between two that are not empty
- `* + ? {m} {m,} {m,n}` up to 1,000 times, also when nested
- `^` and `$` for the beginning and the end of the text, and of nothing else

The one thing that Python can't say in that language is `$`, which also matches before a last line feed there;
`is_found` looks for a portable pattern as the engines do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NoReturn

from audiences.errors import RuleError
from audiences.literals import text_of

__all__ = ["is_found", "portable"]

_MOST_TIMES = 1_000
_MOST_SIZE = 5_000
_MOST_DEPTH = 50
_POSTGRES_TIMES = 255  # as far as PostgreSQL counts
_LAST = 0x10FFFF
_SPECIAL = frozenset("\\^$.|?*+()[]{}")
_IN_CLASS = frozenset("\\^-[]&~|")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_SHOWN = {value: f"\\{key}" for key, value in _CONTROLS.items()}
_SIGNS = {(0, None): "*", (1, None): "+", (0, 1): "?"}
_Ranges = tuple[tuple[int, int], ...]
_DIGITS: _Ranges = ((0x30, 0x39),)
_WORD: _Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: _Ranges = ((0x09, 0x0D), (0x20, 0x20))
_SHORT = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_GROUPS = {
    "?=": "looking ahead",
    "?!": "looking ahead",
    "?<=": "looking back",
    "?<!": "looking back",
    "?P": "a named group",
    "?<": "a named group",
    "?>": "an atomic group",
    "?#": "a comment",
    "?(": "a conditional group",
}
_ESCAPES = {
    "b": "a word boundary; write (^|[^A-Za-z0-9_]) instead",
    "B": "a word boundary",
    "A": "an anchor; write ^",
    "Z": "an anchor; write $",
    "z": "an anchor; write $",
    "p": "a class of Unicode; write its characters between [ and ]",
    "P": "a class of Unicode; write its characters between [^ and ]",
    "x": "a character by number; write the character itself",
    "u": "a character by number; write the character itself",
    "U": "a character by number; write the character itself",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern: its portable text, how large it grows, how often it repeats at most."""

    text: str
    size: int = 1
    times: int = 1
    kind: Literal["atom", "anchor", "repetition", "branch", "choice"] = "atom"

    def grouped(self) -> str:
        """The text as something that a repetition can follow."""
        return self.text if self.kind == "atom" else f"(?:{self.text})"


def portable(pattern: str, where: str) -> str:
    """Check a pattern and write it in the language that all engines share.

    Args:
        pattern: what was written.
        where: what to call it in an error.

    Returns:
        The portable pattern, which is portable again.

    Raises:
        RuleError: what is not allowed, and at which character.
    """
    text_of(pattern, where)
    if not pattern:
        raise RuleError(
            f"{where} is an empty pattern, which every text matches; exists() asks for any value."
        )
    reader = _Reader(pattern, where)
    found = reader.alternatives(0)
    if reader.at < len(pattern):
        reader.refuse(reader.at, "a ) without its (; write \\) for the sign")
    if found.size > _MOST_SIZE:
        raise RuleError(
            f"{where}: the pattern grows to {found.size:,} characters; {_MOST_SIZE:,} are the limit."
        )
    return found.text


def is_found(pattern: str, text: str) -> bool:
    """Say whether a portable pattern is found in a text, as the engines say it.

    Args:
        pattern: made by `portable`.
        text: any.
    """
    return _for_python(pattern).search(text) is not None


@cache
def _for_python(pattern: str) -> re.Pattern[str]:
    # outside of a class and after no backslash, $ is the end; Python's own also stands before a line feed
    return re.compile(
        re.sub(
            r"\\.|\[\^?(?:\\.|[^\]\\])*\]|\$", lambda found: r"\Z" if found[0] == "$" else found[0], pattern
        )
    )


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str, where: str) -> None:
        self.pattern = pattern
        self.where = where
        self.at = 0

    def refuse(self, at: int, what: str) -> NoReturn:
        raise RuleError(
            f"{self.where}: the pattern has {what} (at character {at + 1}). It may hold characters, . [ ] ( "
            ") | ^ $ * + ? {m,n} and \\d \\w \\s, and nothing that engines see differently."
        )

    def alternatives(self, depth: int) -> _Part:
        if depth > _MOST_DEPTH:
            self.refuse(self.at, f"more than {_MOST_DEPTH} groups inside each other")
        parts = [self._branch(depth)]
        while self._next("|"):
            parts.append(self._branch(depth))
        return parts[0] if len(parts) == 1 else _joined(parts, "|", "choice")

    def _branch(self, depth: int) -> _Part:
        start = self.at
        parts: list[_Part] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            parts.append(self._repeated(self._atom(depth)))
        if not parts:
            self.refuse(
                start, "an alternative or a group with nothing in it; write (…)? for something optional"
            )
        return parts[0] if len(parts) == 1 else _joined(parts, "", "branch")

    def _atom(self, depth: int) -> _Part:
        start, sign = self.at, self.pattern[self.at]
        self.at += 1
        if sign == ".":
            return _Part("[^\\n]")
        if sign in "^$":
            return _Part(sign, kind="anchor")
        if sign == "[":
            return self._class(start)
        if sign == "(":
            return self._group(start, depth)
        if sign == "\\":
            found = self._escape(start)
            return _Part(_literal(found) if isinstance(found, str) else _class_text(found, start, self))
        if sign in "*+?":
            self.refuse(start, f"a {sign} with nothing before it to repeat; write \\{sign} for the sign")
        if sign == "{":
            self.refuse(start, "a { that repeats nothing; write \\{ for the sign")
        return _Part(_literal(sign))

    def _group(self, start: int, depth: int) -> _Part:
        if self.pattern.startswith("?:", self.at):
            self.at += 2
        elif self.pattern.startswith("?", self.at):
            known = (what for opening, what in _GROUPS.items() if self.pattern.startswith(opening, self.at))
            self.refuse(start, next(known, "flags; write [Aa] where both cases are meant"))
        found = self.alternatives(depth + 1)
        if not self._next(")"):
            self.refuse(start, "a ( without its ); write \\( for the sign")
        return replace(found, text=found.grouped(), kind="atom") if found.kind == "choice" else found

    def _repeated(self, part: _Part) -> _Part:
        start = self.at
        bounds = self._bounds()
        if bounds is None:
            return part
        if part.kind == "anchor":
            self.refuse(start, "a repetition of ^ or $")
        if self.at < len(self.pattern) and self.pattern[self.at] in "*+?":
            sign = self.pattern[self.at]
            what = {
                "?": "a lazy repetition",
                "+": "a possessive repetition",
                "*": "a repetition of a repetition",
            }
            self.refuse(self.at, f"{what[sign]}; put the first one into ( )")
        least, most = bounds
        if least == most == 1:
            return part
        # RE2 counts {2,} as 2 and looks at nested repetitions together
        times = part.times * max(1, least if most is None else most)
        if times > _MOST_TIMES:
            self.refuse(start, f"more than {_MOST_TIMES:,} repetitions")
        size = part.size * max(1, least + 1 if most is None else most)
        return _Part(_repetition(part, least, most), size, times, "repetition")

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._next(sign):
                return bounds
        if not self.pattern.startswith("{", self.at):
            return None
        found = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}").match(self.pattern, self.at)
        if found is None or (found[3] and not found[2]):
            self.refuse(self.at, "a { that is no {m}, {m,} or {m,n}; write \\{ for the sign")
        least = int(found[1])
        most = int(found[3]) if found[3] else (None if found[2] else least)
        if most is not None and most < least:
            self.refuse(self.at, "a repetition that ends before it starts")
        if max(least, most or 0) > _MOST_TIMES:
            self.refuse(self.at, f"more than {_MOST_TIMES:,} repetitions")
        self.at = found.end()
        return least, most

    def _escape(self, start: int) -> str | _Ranges:
        if self.at >= len(self.pattern):
            self.refuse(start, "a \\ at its end; write \\\\ for the sign")
        sign = self.pattern[self.at]
        self.at += 1
        if sign in _CONTROLS:
            return _CONTROLS[sign]
        if sign.lower() in _SHORT:
            found = _SHORT[sign.lower()]
            return found if sign.islower() else _complement(found)
        if sign.isdigit():
            self.refuse(start, "a reference to a group, or a character by number")
        if sign.isalnum() or not sign.isascii():
            meant = _ESCAPES.get(sign, "which means nothing here; leave the \\ out")
            self.refuse(start, f"\\{sign}, {meant}")
        return sign

    def _class(self, start: int) -> _Part:
        negated = self._next("^")
        if self._next("]"):
            self.refuse(start, "an empty [ ]; write [\\]] for the sign ]")
        ranges: list[tuple[int, int]] = []
        while not self._next("]"):
            ranges.extend(self._member(start))
        found = _merged(ranges)
        return _Part(_class_text(_complement(found) if negated else found, start, self))

    def _member(self, start: int) -> _Ranges:
        if self.pattern.startswith(("[:", "[.", "[="), self.at):
            self.refuse(self.at, "a named class; write its characters, such as [a-z]")
        first = self._character(start)
        is_range = self.pattern.startswith("-", self.at) and not self.pattern.startswith("-]", self.at)
        if not is_range:
            return ((ord(first), ord(first)),) if isinstance(first, str) else first
        at = self.at
        self.at += 1
        last = self._character(start)
        if not isinstance(first, str) or not isinstance(last, str):
            self.refuse(at, "a range that starts or ends with a class; write \\- for the sign")
        if last < first:
            self.refuse(at, "a range that ends before it starts")
        return ((ord(first), ord(last)),)

    def _character(self, start: int) -> str | _Ranges:
        if self.at >= len(self.pattern):
            self.refuse(start, "a [ without its ]; write \\[ for the sign")
        sign = self.pattern[self.at]
        self.at += 1
        return self._escape(self.at - 1) if sign == "\\" else sign

    def _next(self, sign: str) -> bool:
        if not self.pattern.startswith(sign, self.at):
            return False
        self.at += 1
        return True


def _joined(parts: list[_Part], sign: str, kind: Literal["branch", "choice"]) -> _Part:
    text = sign.join(part.text for part in parts)
    return _Part(text, sum(part.size for part in parts), max(part.times for part in parts), kind)


def _repetition(part: _Part, least: int, most: int | None) -> str:
    text = part.grouped()
    if (least, most) in _SIGNS:
        return text + _SIGNS[least, most]
    if most is None:
        return f"{text}{{{least},}}" if least <= _POSTGRES_TIMES else f"{_exactly(part, least)}{text}*"
    if least == most:
        return _exactly(part, least)
    if most <= _POSTGRES_TIMES:
        return f"{text}{{{least},{most}}}"
    return (_exactly(part, least) if least else "") + _at_most(part, most - least)


def _exactly(part: _Part, times: int) -> str:
    if times == 1:
        return part.text
    whole, rest = divmod(times, _POSTGRES_TIMES)
    if not whole:
        return f"{part.grouped()}{{{rest}}}"
    full = f"{part.grouped()}{{{_POSTGRES_TIMES}}}"
    return (f"(?:{full}){{{whole}}}" if whole > 1 else full) + (_exactly(part, rest) if rest else "")


def _at_most(part: _Part, times: int) -> str:
    whole, rest = divmod(times, _POSTGRES_TIMES)
    full = f"{part.grouped()}{{0,{_POSTGRES_TIMES}}}" * whole
    return full + (_repetition(part, 0, rest) if rest else "")


def _literal(sign: str) -> str:
    if sign in _SHOWN:
        return _SHOWN[sign]
    return f"\\{sign}" if sign in _SPECIAL else sign


def _merged(ranges: list[tuple[int, int]]) -> _Ranges:
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def _complement(ranges: _Ranges) -> _Ranges:
    found, start = [], 0
    for low, high in ranges:
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    if start <= _LAST:
        found.append((start, _LAST))
    return tuple(found)


def _class_text(ranges: _Ranges, start: int, reader: _Reader) -> str:
    if not ranges:
        reader.refuse(start, "a class that no character is in")
    # NUL can't be written, so a class that holds it is written by what it leaves out
    negated = ranges[0][0] == 0
    shown = _complement(ranges) if negated else ranges
    if not shown:
        return "(?:[^\\n]|\\n)"
    text = "".join(_member_text(low, high) for low, high in shown)
    return f"[^{text}]" if negated else f"[{text}]"


def _member_text(low: int, high: int) -> str:
    if high - low < 2:
        return "".join(_in_class(chr(each)) for each in range(low, high + 1))
    return f"{_in_class(chr(low))}-{_in_class(chr(high))}"


def _in_class(sign: str) -> str:
    if sign in _SHOWN:
        return _SHOWN[sign]
    return f"\\{sign}" if sign in _IN_CLASS else sign
