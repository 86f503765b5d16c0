"""Whether what is stored is what a computation from scratch finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlglot import exp

from audiences.audience import Audience
from audiences.compile import Question
from audiences.computations import read_computations
from audiences.computing import compute_members, looks_at_everybody, with_parts_of
from audiences.membership import current_members
from identity.store.warehouse import Warehouse
from identity.tables import temporary
from identity.touched import touched_number

__all__ = ["SAMPLE_EVERY", "Checked", "Difference", "check_memberships", "describe", "is_sampled"]

SAMPLE_EVERY = 24
"""Versions between two samples that an audience's runs compare by themselves."""

_SHARES = 32
"""A sample is one of so many parts of all profiles, another one each time."""

_SAMPLE = "sampled_profiles"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """Members that are stored but not computed, or computed but not stored.

    Attributes:
        audience: its key.
        as_of: the instant of the stored version, UTC.
        missing: how many should be members and are not.
        extra: how many are members and should not be.
        examples: some of their ids.
    """

    audience: str
    as_of: datetime
    missing: int
    extra: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        compared: how many members, stored or computed, were compared, by audience.
        behind: audiences whose data has changed since their version, so that nothing can be compared.
        differences: what is not as it should be.
    """

    compared: dict[str, int]
    behind: tuple[str, ...]
    differences: tuple[Difference, ...]


def is_sampled(version: int) -> bool:
    """Whether a run that made this version compares a sample by itself."""
    return version % SAMPLE_EVERY == 0


def check_memberships(
    warehouse: Warehouse, audiences: Sequence[Audience], question: Question, *, sample: int | None = None
) -> Checked:
    """Compute audiences from scratch, each as of its stored version, and compare.

    Args:
        warehouse: holds everything.
        audiences: which.
        question: with what; its `as_of` does not matter.
        sample: a number that chooses one part in 32 of all profiles; None compares everybody.

    Raises:
        RuleError: a rule that can't be computed.
    """
    known = read_computations(warehouse)
    now = touched_number(warehouse)
    behind = []
    groups: dict[tuple[datetime, str], list[Audience]] = {}
    for audience in audiences:
        version = known.get(audience.key)
        if version is None or version.touched != now or version.stale_since is not None:
            behind.append(audience.key)
        elif sample is None or not looks_at_everybody(audience, question.audiences):
            groups.setdefault((version.as_of, audience.of), []).append(audience)
    only = None
    if sample is not None:
        digest = question.engine.hash(exp.cast(exp.column("profile_id"), "TEXT"))
        part = exp.Substring(this=digest, start=exp.Literal.number(1), length=exp.Literal.number(2))
        wanted = [f"{number:02x}" for number in range(256) if number % _SHARES == sample % _SHARES]
        chosen = exp.select("profile_id").from_("profiles").where(part.isin(*wanted))
        warehouse.execute(temporary(_SAMPLE, chosen))
        only = _SAMPLE
    compared: dict[str, int] = {}
    differences: list[Difference] = []
    for (as_of, _), group in groups.items():
        computed = compute_members(
            warehouse, with_parts_of(group, question.audiences), replace(question, as_of=as_of, only=only)
        )
        for audience in group:
            should = set(computed[audience.key])
            stored = set(current_members(warehouse, audience.key, audience.of))
            if only is not None:
                stored &= set(warehouse.query(exp.select("profile_id").from_(only))["profile_id"].to_pylist())
            compared[audience.key] = len(should | stored)
            if should != stored:
                examples = tuple(sorted(should ^ stored)[:_SHOWN])
                differences.append(
                    Difference(audience.key, as_of, len(should - stored), len(stored - should), examples)
                )
    return Checked(compared, tuple(behind), tuple(differences))


def describe(difference: Difference) -> str:
    """Say what is wrong, for a run that found it.

    Args:
        difference: what was found.
    """
    return (
        "its stored members are not those that a computation from scratch finds: "
        f"{difference.missing} missing, {difference.extra} too many, for example "
        f"{', '.join(difference.examples)}. `audiences check --full` compares everybody; the next apply "
        "computes it from scratch."
    )
