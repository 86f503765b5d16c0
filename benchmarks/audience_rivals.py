"""The rivals of the benchmark of audiences by name; the others are checked against the first."""

from __future__ import annotations

from benchmarks.audience_clickhouse import DITTOFEED, POSTHOG
from benchmarks.audience_contender import Contender
from benchmarks.audience_duckdb import FILTER, SHARED, WHERE
from benchmarks.audience_frames import IBIS, PANDAS, POLARS

__all__ = ["RIVALS"]

RIVALS: dict[str, Contender] = {
    "duckdb-where": WHERE,
    "duckdb-filter": FILTER,
    "duckdb-shared": SHARED,
    "pandas": PANDAS,
    "polars": POLARS,
    "ibis": IBIS,
    "posthog": POSTHOG,
    "dittofeed": DITTOFEED,
}
"""Name → how it computes audiences; `duckdb-shared` is what sharing and sorting by hand would reach."""
