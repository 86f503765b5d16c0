"""SQL of one dialect with gaps: parsed once, filled with expressions."""

from __future__ import annotations

from functools import cache

from sqlglot import exp, parse_one

__all__ = ["fill", "only_where"]


def fill(dialect: str, template: str, **parts: exp.Expr) -> exp.Expr:
    """Put expressions into a constant piece of SQL.

    Args:
        dialect: sqlglot's name of the dialect in which the piece is written.
        template: the piece; a column named `__part` is a gap for `part`.
        parts: what stands in the gaps; copied, and in parentheses where it is an operation.
    """

    def filled(node: exp.Expr) -> exp.Expr:
        if not (isinstance(node, exp.Column) and node.name.startswith("__")):
            return node
        part = parts[node.name.removeprefix("__")].copy()
        return exp.paren(part) if isinstance(part, (exp.Binary, exp.Not)) else part

    return _parsed(dialect, template).copy().transform(filled, copy=False)


def only_where(aggregate: exp.Expr, where: exp.Expr) -> exp.Expr:
    """An aggregate over some rows, for dialects without FILTER: what it aggregates is NULL in the others.

    Args:
        aggregate: of one argument, which may be DISTINCT or in an order; it ignores NULLs.
        where: which rows.
    """
    if isinstance(aggregate, exp.Count) and isinstance(aggregate.this, exp.Star):
        return exp.CountIf(this=where.copy())
    narrowed = aggregate.copy()
    argument = narrowed.this
    while isinstance(argument, (exp.Distinct, exp.Order)):
        argument = argument.expressions[0] if isinstance(argument, exp.Distinct) else argument.this
    argument.replace(exp.Case().when(where.copy(), argument.copy()))
    return narrowed


@cache
def _parsed(dialect: str, template: str) -> exp.Expr:
    return parse_one(template, dialect=dialect)
