"""The current version of every audience and computed trait, and what it was computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import cast

import pyarrow as pa
from sqlglot import exp

from audiences.audience import Audience
from audiences.computed import ComputedTrait
from audiences.meaning import canonical_json, fingerprint
from audiences.order import depends_on
from audiences.rules import Measure
from audiences.sealed import Privacy
from audiences.stored_rules import with_tokens
from identity.store.warehouse import Warehouse
from identity.tables import instant

__all__ = [
    "Computation",
    "forget_computations",
    "meaning_of",
    "read_computations",
    "write_computations",
    "write_failure",
]

_LANGUAGE = "1"
"""Version of what rules mean; a program that gives another answer to the same rule has another one."""


@dataclass(frozen=True, slots=True)
class Computation:
    """One audience's, or computed trait's, current version.

    Attributes:
        key: the audience's or trait's key.
        kind: `profile` or `account` for audiences of those, `trait` for computed traits.
        fingerprint: what it meant, with everything that it is built on.
        rule: the rule as JSON, literals of sealed fields as tokens; for comparing definitions.
        version: 1, 2, …; a new one whenever a run computed it.
        as_of: the instant that it was computed for, UTC.
        run: the run that computed it.
        members: how many are in it, or have a value.
        touched: the number of touched profiles that it has seen.
        stale_since: the instant of the first run since then that failed, UTC; None while it is current.
        problem: why that run failed.
    """

    key: str
    kind: str
    fingerprint: str
    rule: str
    version: int
    as_of: datetime
    run: str
    members: int
    touched: int
    stale_since: datetime | None = None
    problem: str | None = None


def meaning_of(wanted: Audience | ComputedTrait, audiences: Mapping[str, Audience], privacy: Privacy) -> str:
    """Identify what an audience or computed trait means, together with all that it is built on.

    Literals of sealed fields go in as their tokens: whoever guesses one can't try it on the stored text.

    Args:
        wanted: which.
        audiences: every audience that a rule may name, by key.
        privacy: which fields are sealed.

    Raises:
        RuleError: a comparison that does not work on a sealed field.
    """
    if isinstance(wanted, ComputedTrait):
        measure = cast("Measure", wanted.operand)
        own, below = canonical_json(with_tokens(measure, privacy, place=wanted.place)), []
    else:
        own = (
            f"{wanted.of} {fingerprint(with_tokens(wanted.rule, privacy, of=wanted.of, place=wanted.place))}"
        )
        below = [
            f"{key}={meaning_of(audiences[key], audiences, privacy)}" for key in sorted(depends_on(wanted))
        ]
    return hashlib.sha256("\n".join([_LANGUAGE, own, *below]).encode()).hexdigest()


def read_computations(warehouse: Warehouse) -> dict[str, Computation]:
    """The current versions, by key.

    Args:
        warehouse: an open warehouse with its tables.
    """
    rows = warehouse.query(exp.select("*").from_("computations")).to_pylist()
    return {
        row["key"]: Computation(
            **{
                **row,
                "as_of": row["as_of"].replace(tzinfo=UTC),
                "stale_since": row["stale_since"].replace(tzinfo=UTC) if row["stale_since"] else None,
            }
        )
        for row in rows
    }


def write_computations(warehouse: Warehouse, computations: Sequence[Computation]) -> None:
    """Replace current versions; inside the transaction that stores their members.

    Args:
        warehouse: an open warehouse with its tables.
        computations: the new versions.
    """
    if not computations:
        return
    forget_computations(warehouse, [each.key for each in computations])
    rows = []
    for each in computations:
        stale = each.stale_since
        naive = {"as_of": each.as_of, "stale_since": stale}
        rows.append(
            asdict(each)
            | {name: at.astimezone(UTC).replace(tzinfo=None) if at else None for name, at in naive.items()}
        )
    instants = {name: pa.timestamp("us") for name in ("as_of", "stale_since")}
    numbers = {name: pa.int64() for name in ("version", "members", "touched")}
    schema = pa.schema(
        [(each.name, (instants | numbers).get(each.name, pa.string())) for each in fields(Computation)]
    )
    warehouse.append("computations", pa.Table.from_pylist(rows, schema=schema))


def write_failure(warehouse: Warehouse, key: str, as_of: datetime, problem: str) -> None:
    """Mark the current version stale, which keeps its members; it stays stale since the first failure.

    Args:
        warehouse: an open warehouse with its tables.
        key: which audience or computed trait.
        as_of: the instant of the run that failed.
        problem: why, for people; no value of anybody.
    """
    since = exp.Coalesce(this=exp.column("stale_since"), expressions=[instant(as_of)])
    warehouse.execute(
        exp.update(
            "computations",
            {"stale_since": since, "problem": exp.Literal.string(problem)},
            where=exp.column("key").eq(key),
        )
    )


def forget_computations(warehouse: Warehouse, keys: Sequence[str]) -> None:
    """Forget what is no longer defined.

    Args:
        warehouse: an open warehouse with its tables.
        keys: which.
    """
    warehouse.execute(exp.delete("computations").where(exp.column("key").isin(*keys)))
