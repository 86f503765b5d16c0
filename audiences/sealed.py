"""What a compiler must know of sealed fields: which they are, and what stands for a literal in them."""

from __future__ import annotations

from typing import Literal, Protocol

from audiences.rules import Path

__all__ = ["NOTHING_PERSONAL", "Place", "Privacy"]

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
