"""How rules ask for personal fields: by token, so that no rule ever reads a plain value."""

from __future__ import annotations

from dataclasses import dataclass

from audiences.rules import Path
from audiences.sealed import Place
from identity.canonical import canonical
from identity.identifiers import IdentityRules
from identity.privacy.classification import field_class
from identity.privacy.vault import SEALED_PREFIX, Vault

__all__ = ["FieldPrivacy"]


@dataclass(frozen=True, slots=True)
class FieldPrivacy:
    """Knows which fields are sealed, and the token that stands for a literal.

    Attributes:
        vault: makes tokens.
        rules: know the default region of telephone numbers, and which custom types are personal.
    """

    vault: Vault
    rules: IdentityRules

    def is_personal(self, where: Place, path: Path) -> bool:
        """Say whether a field's values are sealed.

        Args:
            where: trait, property, or trait of an account.
            path: keys from the outermost to the innermost.
        """
        return field_class(where, path, self.rules) is not None

    def tokenise(self, where: Place, path: Path, literal: str) -> str | None:
        """The text that stands for a literal in a sealed field; None when the field is not sealed.

        Args:
            where: trait, property, or trait of an account.
            path: keys from the outermost to the innermost.
            literal: what the rule compares with.
        """
        kind = field_class(where, path, self.rules)
        if kind is None:
            return None
        value = canonical(kind, literal, self.rules.default_region) or literal.strip()
        return f"{SEALED_PREFIX}{self.vault.token(kind, value)}"

    def split_key(self, split: str) -> str:
        """The secret text that a split's hash begins with.

        Args:
            split: the split's name.
        """
        return str(self.vault.token("split", split))
