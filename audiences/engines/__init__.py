"""SQL dialects: one module an engine, each rendering the same canonical functions."""

from __future__ import annotations

from audiences.engines.bigquery import BigQuery
from audiences.engines.duckdb import DuckDB
from audiences.engines.engine import Engine
from audiences.engines.postgres import Postgres
from audiences.engines.snowflake import Snowflake
from audiences.engines.spark import Spark

__all__ = ["ENGINES", "Engine"]

ENGINES: dict[str, Engine] = {
    each.name: each for each in (DuckDB(), Postgres(), Spark(), BigQuery(), Snowflake())
}
"""sqlglot's name of a dialect → how it says what rules need."""
