"""What audiences share: each selection of events is read once, each figure worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audiences.audience import Audience
from audiences.compile import Question, gathered_facts
from audiences.phrases import listed_or, quoted
from audiences.rules import Named, Selection

__all__ = ["SharedScan", "shared_scans"]


@dataclass(frozen=True, slots=True)
class SharedScan:
    """One pass over the data.

    Attributes:
        reads: what it reads, in words.
        audiences: how many audiences want something of it.
        asked: how many figures they ask for together.
        computed: how many different ones are worked out.
    """

    reads: str
    audiences: int
    asked: int
    computed: int


def shared_scans(audiences: Sequence[Audience], question: Question) -> tuple[SharedScan, ...]:
    """Say which passes over the data computing some audiences takes, the most wanted first.

    Args:
        audiences: all of profiles, or all of accounts.
        question: what is asked.

    Raises:
        RuleError: a rule that can't be computed.
    """
    wanted: dict[str, int] = {}
    asked: dict[str, int] = {}
    for each in audiences:
        for reads, count in _counts([each], question).items():
            wanted[reads] = wanted.get(reads, 0) + 1
            asked[reads] = asked.get(reads, 0) + count
    together = _counts(audiences, question)
    found = [SharedScan(reads, wanted[reads], asked[reads], together[reads]) for reads in together]
    return tuple(sorted(found, key=lambda scan: (-scan.asked, scan.reads)))


def _counts(audiences: Sequence[Audience], question: Question) -> dict[str, int]:
    facts = gathered_facts(audiences, question)
    counts = {f"events {_selection(each)}": len(columns) for each, columns in facts.scans.items()}
    if facts.traits:
        counts["traits"] = len(facts.traits)
    for about in facts.relations:
        name = f"a query of its own: {type(about).__name__}"
        counts[name] = counts.get(name, 0) + 1
    return counts


def _selection(selection: Selection) -> str:
    if isinstance(selection, Named):
        return listed_or([quoted(each) for each in selection.names])
    return f"that begin with {quoted(selection.prefix)}" if selection.prefix else "of every name"
