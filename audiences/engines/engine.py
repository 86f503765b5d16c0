"""What an engine must be able to say: the canonical functions that differ between SQL dialects.

Rules are compiled once, in terms of these functions and of what all engines share; each engine has one module
that renders them as sqlglot expressions. A *stored value* is one JSON value as the engine keeps it (VARIANT,
jsonb, JSON); SQL NULL stands for a value that is missing or null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, Protocol

from sqlglot import exp

from audiences.rules import TextOp

__all__ = ["Engine", "Kind", "Question"]

Kind = Literal["text", "number", "flag"]

Question = Callable[[exp.Expr], exp.Expr]
"""Makes a condition of one stored value; the condition may be NULL, which counts as false."""


class Engine(Protocol):
    """One SQL dialect; every argument and answer is a sqlglot expression unless it says otherwise."""

    name: str
    """sqlglot's name of the dialect."""

    # ------------------------------------------------------------------------------- stored values

    def key(self, value: exp.Expr, key: str) -> exp.Expr:
        """The stored value under a key of an object; NULL when it is no object or has none."""
        ...

    def into(self, value: exp.Expr, key: str) -> exp.Expr:
        """Like `key`; of an array, those of its elements, in one array (arrays spliced in), NULL if empty."""
        ...

    def exists(self, value: exp.Expr) -> exp.Expr:
        """TRUE when a stored value is there and not null, else FALSE."""
        ...

    def any_element(self, value: exp.Expr, question: Question, *, every: bool) -> exp.Expr:
        """Ask of a value, or of the elements of an array: any of them, or all of at least one; never NULL."""
        ...

    def text(self, value: exp.Expr) -> exp.Expr:
        """The text that a stored value is; NULL when it is none."""
        ...

    def number(self, value: exp.Expr) -> exp.Expr:
        """The number that a stored value is, as 64-bit float; NULL when it is none, or too large for one."""
        ...

    def numeric(self, value: exp.Expr) -> exp.Expr:
        """Like `number`; also of a text that is a decimal of at most 15 digits before the point, 9 after."""
        ...

    def flag(self, value: exp.Expr) -> exp.Expr:
        """The truth that a stored value is; NULL when it is none."""
        ...

    def known(self, value: exp.Expr, kind: Kind) -> exp.Expr:
        """The text, number or flag that a stored value is; only where it can be nothing else, or missing."""
        ...

    def moment(self, value: exp.Expr) -> exp.Expr:
        """The instant (naive UTC) that a text of the form `texts.INSTANT` says; NULL when it is none."""
        ...

    def scalars(self, value: exp.Expr) -> exp.Expr:
        """The elements of an array, or the value alone: an array of stored values to `explode`."""
        ...

    def explode(self, select: exp.Select, values: exp.Expr, name: str) -> exp.Select:
        """Add to a SELECT a column `name`: a row for each element of an array; no row for an empty one."""
        ...

    def stored(self, flag: exp.Expr, number: exp.Expr, text: exp.Expr) -> exp.Expr:
        """The stored value of the one of three that is not NULL."""
        ...

    def wrapped(self, value: exp.Expr) -> exp.Expr:
        """The stored value of any SQL value."""
        ...

    def collected(self, value: exp.Expr, order: Sequence[exp.Expr]) -> exp.Expr:
        """Aggregate: stored values as one stored array, in ascending order of some expressions."""
        ...

    # -------------------------------------------------------------------------------------- texts

    def ordered_text(self, text: exp.Expr) -> exp.Expr:
        """A text that compares by code point."""
        ...

    def asks_text(self, text: exp.Expr, op: TextOp, given: str) -> exp.Expr:
        """TRUE when a text contains, starts with, ends with a given one, or matches a portable pattern."""
        ...

    def folded(self, text: exp.Expr) -> exp.Expr:
        """A text in lower case without accents, as `texts.fold` does it."""
        ...

    def hash(self, text: exp.Expr) -> exp.Expr:
        """MD5 of a text's UTF-8 as 32 lower-case hexadecimal digits, comparing by code point."""
        ...

    # ------------------------------------------------------------------------------------ numbers

    def exact(self, number: exp.Expr) -> exp.Expr:
        """A float below 10^18 as a decimal that can be summed exactly, rounded half away from zero.

        It keeps the digits that a float of its size has for certain: nine after the point below 2^22, six
        below 2^32, three below 2^42, and only the whole number above.
        """
        ...

    def whole(self, number: exp.Expr) -> exp.Expr:
        """A whole number as an exact decimal that can be multiplied by an `exact` one of below 10^18."""
        ...

    # ----------------------------------------------------------------------------------- instants

    def instant(self, moment: datetime) -> exp.Expr:
        """An aware instant as a literal, naive UTC, to the microsecond."""
        ...

    def later(self, moment: exp.Expr, seconds: int) -> exp.Expr:
        """An instant some seconds later, or earlier when negative."""
        ...

    def microseconds(self, later: exp.Expr, earlier: exp.Expr) -> exp.Expr:
        """Whole microseconds from one instant to another."""
        ...

    def local_date(self, moment: exp.Expr, zone: str) -> exp.Expr:
        """The date of a naive UTC instant in a time zone."""
        ...

    # --------------------------------------------------------------------------------- aggregates

    def filtered(self, aggregate: exp.Expr, where: exp.Expr | None) -> exp.Expr:
        """An aggregate over the rows that satisfy a condition."""
        ...

    def outermost(
        self, value: exp.Expr, order: Sequence[exp.Expr], where: exp.Expr | None, *, last: bool
    ) -> exp.Expr:
        """Aggregate: the value, NULL included, of the first or last row in the order of some expressions."""
        ...

    def quantile(self, number: exp.Expr, share: float, where: exp.Expr | None) -> exp.Expr:
        """Aggregate: the interpolated quantile of floats; NULL for none."""
        ...

    def any_true(self, condition: exp.Expr) -> exp.Expr:
        """Aggregate: TRUE when a condition is TRUE in any row."""
        ...
