"""The quarantine: where refused records stand and why; what they hold stays in their file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlglot import exp

from identity.store.warehouse import Warehouse

__all__ = ["Reject", "count_rejects", "list_rejects"]


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused record.

    Attributes:
        source: the file, or `-`.
        line: 1 for the first line (row of a Parquet file).
        byte_offset: bytes before it in the unpacked file; None for Parquet.
        code: short reason.
        reason: the reason in a sentence, without any value of the record.
        refused_at: when it was read, UTC.
    """

    source: str
    line: int
    byte_offset: int | None
    code: str
    reason: str
    refused_at: datetime


def list_rejects(warehouse: Warehouse, limit: int) -> list[Reject]:
    """List refused records, the latest reading first.

    Args:
        warehouse: holds the quarantine.
        limit: rows at most.
    """
    rows = warehouse.query(
        exp.select("*").from_("quarantine").order_by("refused_at DESC", "source", "line").limit(limit)
    ).to_pylist()
    return [Reject(**{**row, "refused_at": row["refused_at"].replace(tzinfo=UTC)}) for row in rows]


def count_rejects(warehouse: Warehouse) -> dict[str, int]:
    """Count refused records by reason.

    Args:
        warehouse: holds the quarantine.
    """
    counted = exp.Count(this=exp.Star()).as_("n")
    rows = warehouse.query(
        exp.select("code", counted).from_("quarantine").group_by("code").order_by("n DESC", "code")
    ).to_pylist()
    return {row["code"]: row["n"] for row in rows}
