"""Rules and values that are written in SQL."""

from __future__ import annotations

from audiences.figures import MeasureHandle
from audiences.handles import Rule
from audiences.literals import checked_text
from audiences.rules import InQuery, QueryValue

__all__ = ["query", "query_value"]


def query(sql: str) -> Rule:
    """Make the rule that a profile is among those that a SELECT returns.

    Args:
        sql: one query, in DuckDB's SQL, that returns `profile_id` and reads `profile_events`,
            `profile_traits` and `profiles` only.

    Raises:
        RuleError: anything else; the text says what.
    """
    from audiences.sandbox import checked_query

    given = checked_text(sql, "query(…)", "query('SELECT profile_id FROM profile_traits')")
    return Rule(InQuery(checked_query(given, ("profile_id",))))


def query_value(sql: str) -> MeasureHandle:
    """The value that a SELECT returns for a profile, to be compared, or held by a computed trait.

    Args:
        sql: one query, in DuckDB's SQL, that returns `profile_id` and `value`, and reads `profile_events`,
            `profile_traits` and `profiles` only.

    Raises:
        RuleError: anything else; the text says what.
    """
    from audiences.sandbox import checked_query

    given = checked_text(sql, "query_value(…)", "query_value('SELECT profile_id, 1 AS value FROM profiles')")
    return MeasureHandle(QueryValue(checked_query(given, ("profile_id", "value"))))
