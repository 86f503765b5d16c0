"""What a compiler must know of sealed fields: which they are, and what stands for a literal in them."""

from __future__ import annotations

from typing import Literal, Protocol

from audiences.errors import RuleError
from audiences.rules import (
    CompareOp,
    MostFrequent,
    Operand,
    Path,
    Pick,
    Property,
    Trait,
    UniqueList,
)
from audiences.terms import Text, Value

__all__ = ["NOTHING_PERSONAL", "Place", "Privacy", "refuse_sealed", "sealed_literal"]

Place = Literal["trait", "property", "account_trait"]


class Privacy(Protocol):
    """Which fields are sealed, the text that stands for a literal in them, and the keys of splits."""

    def is_personal(self, where: Place, path: Path) -> bool:
        """Say whether a field's values are sealed."""
        ...

    def tokenise(self, where: Place, path: Path, literal: str) -> str | None:
        """The text that stands for a literal in a sealed field."""
        ...

    def split_key(self, split: str) -> str:
        """The secret text that a split's hash begins with."""
        ...


class _NothingPersonal:
    def is_personal(self, where: Place, path: Path) -> bool:  # noqa: ARG002
        return False

    def tokenise(self, where: Place, path: Path, literal: str) -> str | None:  # noqa: ARG002
        return None

    def split_key(self, split: str) -> str:
        return split


NOTHING_PERSONAL: Privacy = _NothingPersonal()
"""For data in which nothing is sealed, such as an oracle's."""


def sealed_literal(
    privacy: Privacy,
    operand: Operand,
    op: CompareOp,
    value: Value,
    *,
    of: Literal["profile_id", "account"],
    place: str,
) -> Value:
    """The literal to compare with: as written, or what stands for it in a sealed field.

    Args:
        privacy: which fields are sealed.
        operand: what is compared.
        op: how.
        value: the literal as written.
        of: whose trait it is, a profile's or an account's.
        place: `file:line` of the definition.

    Raises:
        RuleError: a comparison that does not work on a sealed field.
    """
    where, path = _field(operand, of)
    if where is None or not privacy.is_personal(where, path):
        return value
    plain = not isinstance(operand, (Trait, Property)) or operand.read == "plain"
    if op == "==" and isinstance(value, Text) and plain:
        token = privacy.tokenise(where, path, value.value)
        if token is not None:
            return Text(token)
    raise RuleError(
        f"{'.'.join(path)!r} is personal, so its values are sealed: only ==, != and is_in with texts, and "
        "exists(), work on it.",
        place,
    )


def refuse_sealed(
    privacy: Privacy, operand: Operand, why: str, of: Literal["profile_id", "account"], place: str
) -> None:
    """Refuse a question that only plain values answer.

    Args:
        privacy: which fields are sealed.
        operand: what is asked.
        why: why sealed values can't answer, to follow "so its values are sealed: ".
        of: whose trait it is, a profile's or an account's.
        place: `file:line` of the definition.

    Raises:
        RuleError: the field is sealed.
    """
    where, path = _field(operand, of)
    if where is not None and privacy.is_personal(where, path):
        raise RuleError(f"{'.'.join(path)!r} is personal, so its values are sealed: {why}.", place)


def _field(operand: Operand, of: Literal["profile_id", "account"]) -> tuple[Place | None, Path]:
    match operand:
        case Trait(path):
            return "trait" if of == "profile_id" else "account_trait", path
        case Property(path) | Pick(_, _, path) | MostFrequent(_, path) | UniqueList(_, path):
            return "property", path
        case _:
            return None, ()
