"""Which audiences are built on which, and in what order they are computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

from audiences.audience import Audience
from audiences.errors import RuleError
from audiences.scope import named_audiences
from identity.errors import did_you_mean

__all__ = ["depends_on", "in_order", "with_parts"]


def depends_on(audience: Audience) -> tuple[str, ...]:
    """The keys of the audiences that one is directly built on.

    Args:
        audience: any audience.
    """
    return tuple(dict.fromkeys(key for key, _ in named_audiences(audience.rule, audience.of)))


def with_parts(audiences: Iterable[Audience]) -> tuple[Audience, ...]:
    """Audiences, and those that their rules name as objects, each once.

    Args:
        audiences: any audiences.

    Raises:
        RuleError: two different audiences have the same key.
    """
    found: dict[str, Audience] = {}
    waiting = list(audiences)
    for audience in waiting:
        known = found.setdefault(audience.key, audience)
        if known is not audience and known != audience:
            raise RuleError(
                f"The key {audience.key!r} is used twice; the other is at {known.place}. Keys are for ever, "
                "so choose another for the newer one.",
                audience.place,
            )
        if known is audience:
            waiting.extend(audience.based_on)
    return tuple(found.values())


def in_order(audiences: Sequence[Audience]) -> tuple[Audience, ...]:
    """Put audiences after those that they are built on.

    Args:
        audiences: each key once.

    Raises:
        RuleError: a rule names an audience that is not among them, or takes accounts for profiles, or
            audiences are built on each other in a circle.
    """
    by_key = {audience.key: audience for audience in audiences}
    for audience in audiences:
        for key, of in named_audiences(audience.rule, audience.of):
            if key not in by_key:
                raise RuleError(
                    f"{audience.key!r} is built on {key!r}, and there is no such audience."
                    f"{did_you_mean(key, by_key)}",
                    audience.place,
                )
            if by_key[key].of != of:
                raise RuleError(
                    f"{audience.key!r} looks for {of}s in {key!r}, which is made of {by_key[key].of}s; "
                    "in_account(…) and account.any_user(…) lead from one to the other.",
                    audience.place,
                )
    sorter = TopologicalSorter({audience.key: depends_on(audience) for audience in audiences})
    try:
        return tuple(by_key[key] for key in sorter.static_order())
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise RuleError(
            f"Audiences are built on each other in a circle: {circle}.", by_key[error.args[1][0]].place
        ) from None
