"""What a project's rules are asked with: its stores, its sealed fields, and the decisions of persons."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from audiences.compile import Question
from audiences.engines import ENGINES
from audiences.kinds import read_kinds
from audiences.privacy import FieldPrivacy
from audiences.project import Definitions, Stores

__all__ = ["question_of"]


def question_of(stores: Stores, definitions: Definitions, as_of: datetime) -> Question:
    """Ask a project's rules, of its stores, at an instant.

    Args:
        stores: the project's open stores.
        definitions: the loaded project.
        as_of: the instant to compute for, UTC.
    """
    manual = stores.warehouse.query(exp.select("audience").distinct().from_("manual_members"))
    return Question(
        as_of,
        ENGINES[stores.warehouse.dialect],
        FieldPrivacy(stores.vault, definitions.project.identity),
        {each.key: each for each in definitions.audiences},
        frozenset(manual["audience"].to_pylist()),
        read_kinds(stores.warehouse),
    )
