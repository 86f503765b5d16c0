"""The SQL that a rule may hold: one query that reads three relations, calls known functions, and no more.

Everything is refused that is not on a list here: relations, functions, types, and every other construct. What
is random, looks at a clock, a file, a setting, or at the order of rows is on none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import ErrorLevel, TokenType, exp, parse, tokenize
from sqlglot.errors import SqlglotError

from audiences.errors import RuleError
from identity.errors import did_you_mean

__all__ = ["RELATIONS", "checked_query"]

RELATIONS = ("profile_events", "profile_traits", "profiles")
"""What a query may read, beside its own WITH parts."""

_LONGEST = 10_000
_STARTS = frozenset({TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.L_PAREN})
_SYNTAX = frozenset(
    "Add Alias AtTimeZone Between Boolean Bracket CTE Column DPipe DataType DataTypeParam Distinct Div "
    "Dot EQ Escape Except Filter From GT GTE Group Having ILike Identifier IgnoreNulls In IntDiv "
    "Intersect Interval Is JSONPath JSONPathKey JSONPathRoot JSONPathSubscript Join LT LTE Lambda Like "
    "Limit Literal Mod Mul NEQ Neg Not Null NullSafeEQ NullSafeNEQ Offset Order Ordered Paren PropertyEQ "
    "Qualify RespectNulls Select Slice Star Sub Subquery Table TableAlias Tuple Union Var Where Window "
    "WindowSpec With".split()
)
_FUNCTIONS = frozenset(
    "Abs And ArgMax ArgMin Array ArrayContains ArrayContainsAll ArrayDistinct ArrayFilter ArrayMax "
    "ArrayMin ArrayOverlaps ArraySize ArraySort ArraySum Avg Case Cast Ceil Coalesce Concat ConcatWs "
    "Contains Corr Count CountIf CumeDist DateAdd DateDiff DateFromParts DateSub DateTrunc Day DayOfMonth "
    "DayOfWeek DayOfYear DenseRank EndsWith Exists Exp Extract FirstValue Floor Greatest Hour If "
    "JSONExtract JSONExtractScalar Lag LastValue Lead Least Left Length Ln Log LogicalAnd LogicalOr Lower "
    "MD5 Max Median Min Minute Month Ntile Nullif Or PercentRank PercentileCont PercentileDisc Pow "
    "Quantile Quarter Rank RegexpLike Replace Right Round RowNumber SHA2 Second Sign SplitPart Sqrt "
    "StartsWith Stddev StddevPop StddevSamp Struct Substring Sum TimeToStr TimeToUnix "
    "TimestampAdd TimestampDiff TimestampSub TimestampTrunc Transform Trim TryCast TsOrDsToDate Typeof "
    "UnixToTime Upper Variance VariancePop Week Year".split()
)
_NAMED = frozenset(
    "date_part epoch_ms epoch_us fdiv isodow len list_aggregate list_any_value list_avg list_count "
    "list_has_all list_has_any list_max list_min list_position list_reverse_sort list_sum list_unique "
    "ltrim prefix rtrim strip_accents suffix variant_extract variant_typeof".split()
)
_TYPES = frozenset(
    "ARRAY BIGINT BOOLEAN CHAR DATE DECIMAL DOUBLE FLOAT INT INT128 INTERVAL JSON LIST SMALLINT TEXT TIME "
    "TIMESTAMP TIMESTAMPNTZ TIMESTAMPTZ TINYINT UBIGINT UINT UUID VARCHAR VARIANT".split()
)
_CLOCK_WORDS = frozenset({"now", "today", "tomorrow", "yesterday"})
_INSTEAD = {
    "AnyValue": "min(…) or max(…), which do not depend on the order of rows",
    "First": "arg_min(…), which says by what it is the first",
    "Last": "arg_max(…), which says by what it is the last",
    "Mode": "a count and arg_max(…), which decide ties",
    "Rand": "sample(…) or split(…), which stay the same",
    "CurrentTimestamp": "did(…).within(…), or events relative to each other",
    "CurrentDate": "did(…).within(…), or events relative to each other",
}


def checked_query(sql: str, columns: Sequence[str]) -> str:
    """Check a query and write it in one canonical form.

    Args:
        sql: one SELECT, UNION or WITH query in DuckDB's SQL.
        columns: what it must return, in this order.

    Returns:
        The query's canonical text, which is allowed again.

    Raises:
        RuleError: what is not allowed, and the way out.
    """
    query = _parsed(sql)
    for node in query.walk():
        _check(node)
    for part in _parts(query):
        names = [each.alias_or_name for each in part.selects]
        if names != list(columns):
            raise RuleError(
                f"The query returns {', '.join(names) or 'nothing'}; it must return exactly "
                f"{', '.join(columns)}: name what it selects with AS."
            )
    return query.sql(dialect="duckdb", comments=False)


def _parsed(sql: str) -> exp.Query:
    if len(sql) > _LONGEST:
        raise RuleError(f"The query has {len(sql):,} characters; {_LONGEST:,} are the limit.")
    try:
        first = next(iter(tokenize(sql, read="duckdb")), None)
        if first is not None and first.token_type not in _STARTS:
            raise RuleError(f"A query is a SELECT that only reads; this starts with {first.text}.")
        found = parse(sql, read="duckdb", error_level=ErrorLevel.RAISE)
    except RecursionError:
        raise RuleError("The query is nested too deeply to be read.") from None
    except SqlglotError as error:
        raise RuleError(f"The query can't be read as SQL: {str(error).splitlines()[0]}") from None
    statements = [each for each in found if each is not None]
    if len(statements) != 1:
        raise RuleError(f"A query is one SELECT; this text holds {len(statements)} statements.")
    query = statements[0]
    if not isinstance(query, (exp.Select, exp.SetOperation)):
        raise RuleError(f"A query is a SELECT that only reads; this is {_named(query)}.")
    return query


def _parts(query: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs that a query's rows come from."""
    if isinstance(query, exp.SetOperation):
        yield from _parts(query.left)
        yield from _parts(query.right)
    elif isinstance(query, exp.Subquery):
        yield from _parts(query.this)
    elif isinstance(query, exp.Select):
        yield query


def _check(node: exp.Expr) -> None:
    kind = type(node).__name__
    match node:
        case exp.Anonymous():
            if node.name.lower() not in _NAMED:
                raise RuleError(
                    f"The function {node.name.lower()}(…) is not among those that a query may call."
                    + did_you_mean(node.name.lower(), _NAMED)
                )
        case exp.Func():
            if kind not in _FUNCTIONS:
                way = f"; write {_INSTEAD[kind]}" if kind in _INSTEAD else ""
                raise RuleError(f"{_shown(node)} is not among the functions that a query may call{way}.")
        case _ if kind not in _SYNTAX:
            raise RuleError(f"A query may not hold {_named(node)}, as in {_shown(node.parent or node)}.")
    match node:
        case exp.Table():
            _check_relation(node)
        case exp.Star() if not isinstance(node.parent, exp.Count):
            raise RuleError("A query names its columns; * is for count(*) only.")
        case exp.With() if node.args.get("recursive"):
            raise RuleError("A query may not be recursive; write out the steps.")
        case exp.CTE() if node.alias.lower() in RELATIONS:
            raise RuleError(f"{node.alias} of WITH hides the relation of that name; name it differently.")
        case exp.Join() if str(node.args.get("method") or "").upper() == "POSITIONAL":
            raise RuleError("A positional join depends on the order of rows; join ON a condition.")
        case exp.Distinct() if node.args.get("on"):
            raise RuleError("DISTINCT ON depends on the order of rows; write min(…), max(…) or arg_max(…).")
        case exp.Limit() | exp.Offset() if node.parent is not None and not node.parent.args.get("order"):
            raise RuleError(
                "LIMIT without ORDER BY depends on the order of rows; add ORDER BY … , profile_id."
            )
        case exp.In() if node.args.get("field"):
            raise RuleError(
                f"{_shown(node)} needs parentheses around its values; list_contains(…) looks into lists."
            )
        case exp.SetOperation() if node.args.get("by_name"):
            raise RuleError("UNION BY NAME hides what a query returns; write its columns in one order.")
        case exp.DataType():
            _check_type(node)
        case exp.Cast():  # TRY_CAST is one too
            said = node.this.name.strip().lower() if isinstance(node.this, exp.Literal) else ""
            if said in _CLOCK_WORDS:
                raise RuleError(f"{_shown(node)} looks at the clock; a query may not.")


def _check_relation(table: exp.Table) -> None:
    name = table.name.lower()
    if not isinstance(table.this, exp.Identifier) or table.args.get("db") or table.args.get("catalog"):
        raise RuleError(f"A query reads {', '.join(RELATIONS)}, and not {_shown(table)}.")
    if name not in RELATIONS and name not in set(_visible(table)):
        raise RuleError(
            f"A query reads {', '.join(RELATIONS)} and its own WITH parts, and not {table.name!r}."
            + did_you_mean(name, RELATIONS)
        )


def _visible(table: exp.Expr) -> Iterator[str]:
    """The WITH parts that a place sees: those of the queries around it, and earlier ones of its own."""
    inner, outer = table, table.parent
    while outer is not None:
        if isinstance(outer, exp.With):
            for part in outer.expressions:
                if part is inner:
                    break
                yield part.alias.lower()
        else:
            parts = outer.args.get("with_")
            if parts is not None and parts is not inner:
                yield from (part.alias.lower() for part in parts.expressions)
        inner, outer = outer, outer.parent


def _check_type(node: exp.DataType) -> None:
    kind = node.this.value if isinstance(node.this, exp.DType) else str(node.this)
    if kind not in _TYPES:
        raise RuleError(
            f"A query may not cast to {_shown(node)}; DOUBLE, VARCHAR, BOOLEAN, TIMESTAMP … are known."
        )


def _shown(node: exp.Expr) -> str:
    text = node.sql(dialect="duckdb", comments=False, unsupported_level=ErrorLevel.IGNORE)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _named(node: exp.Expr) -> str:
    return f"{'an' if type(node).__name__[0] in 'AEIOU' else 'a'} {type(node).__name__}"
