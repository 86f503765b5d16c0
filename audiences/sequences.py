"""Events in order: one followed by another, repeated, with nothing in between, funnels."""

from __future__ import annotations

from collections.abc import Sequence as ListOf
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NoReturn

from audiences.errors import RuleError
from audiences.handles import Combinable, Rule, Unfinished
from audiences.literals import checked_length, path_of, whole
from audiences.rules import AllOf, Compare, Count, Events, Exclusion, Node, Not, OrderOp, Path, Sequence, Step
from audiences.selecting import SelectedEvents
from audiences.terms import Duration, Number

if TYPE_CHECKING:
    from typing import TypeAlias

    Same: TypeAlias = str | ListOf[str | ListOf[str]]
    Without: TypeAlias = "SelectedEvents | ExclusionHandle | ListOf[SelectedEvents | ExclusionHandle]"

__all__ = [
    "ExclusionHandle",
    "FunnelHandle",
    "SequenceHandle",
    "StepHandle",
    "begun",
    "exclusion",
    "funnel",
    "repetition",
    "sequence",
    "step",
]

_MOST_STEPS = 20
_MOST_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class StepHandle:
    """One step of a sequence, with its distance from an earlier one and what must not come before it."""

    step: Step
    without: tuple[Events, ...] = ()


@dataclass(frozen=True, slots=True)
class ExclusionHandle:
    """Events that must not lie between two steps, which are counted from 1."""

    events: Events
    after: int | None
    before: int | None
    within: Duration | None

    def among(self, steps: int) -> Exclusion:
        """Place it among the steps of a sequence.

        Args:
            steps: how many there are.

        Raises:
            RuleError: a step that is not there.
        """
        for number in (self.after, self.before):
            if number is not None and number > steps:
                raise RuleError(f"exclusion(…) names step {number}, and the sequence has {steps}.")
        after = None if self.after is None else self.after - 1
        before = None if self.before is None else self.before - 1
        return Exclusion(self.events, after, before, self.within)


@dataclass(frozen=True, slots=True)
class SequenceHandle(Combinable):
    """The rule that events came in an order; it goes on with followed_by and not_followed_by."""

    sequence: Sequence

    def as_node(self) -> Node:
        """The rule as data."""
        return self.sequence

    def followed_by(
        self,
        events: SelectedEvents,
        *,
        within: Duration | None = None,
        after: Duration | None = None,
        without: Without = (),
        same: Same | None = None,
    ) -> SequenceHandle:
        """Go on with an event that came later than the last one.

        Args:
            events: what came.
            within: at most this long after the last one, inclusive.
            after: at least this long after it, inclusive.
            without: events that must not lie between the last one and this one.
            same: a property, or a list of properties, that all events of the sequence share in value.

        Raises:
            RuleError: something else than events, lengths that contradict each other, too many steps, or
                `same` that differs from what the sequence had before.
        """
        before = self.sequence
        _enough(len(before.steps) + 1)
        new = step(events, within=within, after=after, without=without)
        number = len(before.steps)
        return SequenceHandle(
            replace(
                before,
                steps=(*before.steps, new.step),
                exclusions=(*before.exclusions, *_between(new, number)),
                same=self._shared(same, "followed_by"),
            )
        )

    def not_followed_by(
        self, events: SelectedEvents, *, within: Duration | None = None, same: Same | None = None
    ) -> SequenceHandle:
        """Require that no such event came after the last one.

        Args:
            events: what must not have come.
            within: for how long after the last one, inclusive; until that has passed the rule is false. None
                looks up to `as_of`.
            same: a property, or a list of properties, whose value the event would share with the sequence.

        Raises:
            RuleError: something else than events, or `same` that differs from what the sequence had before.
        """
        last = len(self.sequence.steps) - 1
        length = None if within is None else checked_length(within, "not_followed_by(…): within")
        absent = Exclusion(_events(events, "not_followed_by"), last, None, length)
        shared = self._shared(same, "not_followed_by")
        return SequenceHandle(
            replace(self.sequence, exclusions=(*self.sequence.exclusions, absent), same=shared)
        )

    def _shared(self, same: object, method: str) -> tuple[Path, ...]:
        given = () if same is None else _paths(same, method)
        is_new = len(self.sequence.steps) == 1 and not self.sequence.exclusions
        if not is_new and given != self.sequence.same:
            raise RuleError(
                f"{method}(…): same= is about every event of a sequence, so say the same one at each step, "
                "from the first on."
            )
        return given


def begun(events: Events) -> SequenceHandle:
    """Begin a sequence with its first events.

    Args:
        events: the first step.
    """
    return SequenceHandle(Sequence((Step(events),)))


def step(
    events: SelectedEvents,
    *,
    within: Duration | None = None,
    after: Duration | None = None,
    since: Literal["previous", "first"] = "previous",
    within_events: int | None = None,
    without: Without = (),
) -> StepHandle:
    """Describe one step for sequence(…).

    Args:
        events: what may be this step.
        within: at most this long after the previous step, inclusive.
        after: at least this long after it, inclusive.
        since: `first` measures `within` and `after` from the first step instead.
        within_events: among the next so many events of the profile, of any name, after the previous step.
        without: events that must not lie between the previous step and this one.

    Raises:
        RuleError: something else than events, or distances that contradict each other.
    """
    found = _events(events, "step")
    most = None if within is None else checked_length(within, f"{events!r}: within")
    least = None if after is None else checked_length(after, f"{events!r}: after")
    if most is not None and least is not None and least.seconds > most.seconds:
        raise RuleError(f"{events!r}: after= is longer than within=, so nothing can come then.")
    if since not in ("previous", "first"):
        raise RuleError(f"{events!r}: since is 'previous' or 'first'.")
    count = None
    if within_events is not None:
        count = whole(within_events, f"{events!r}: within_events", 1, _MOST_EVENTS)
    absent = []
    for each in _each(without):
        if isinstance(each, ExclusionHandle):
            raise RuleError(
                "without= of a step takes events; exclusion(…) belongs to sequence(…, without=[…])."
            )
        absent.append(_events(each, "without="))
    if most is None and least is None:
        since = "previous"
    return StepHandle(Step(found, most, least, since, count), tuple(absent))


def exclusion(
    events: SelectedEvents,
    *,
    after: int | None = None,
    before: int | None = None,
    within: Duration | None = None,
) -> ExclusionHandle:
    """Describe events that must not lie between two steps, for `sequence(…, without=[…])`.

    Args:
        events: what must not be there.
        after: the step, counted from 1, after which it is looked for; None for the beginning of time.
        before: the step before which it is looked for; None for `as_of`.
        within: without `before`, how long after the step to look; until that has passed the rule is false.

    Raises:
        RuleError: neither step, steps out of order, or a length beside `before`.
    """
    found = _events(events, "exclusion")
    first = None if after is None else whole(after, "exclusion(…): after", 1, _MOST_STEPS)
    last = None if before is None else whole(before, "exclusion(…): before", 1, _MOST_STEPS)
    if first is None and last is None:
        raise RuleError("exclusion(…) is placed by after= or before= a step; ~did(…) says that it never was.")
    if first is not None and last is not None and first >= last:
        raise RuleError("exclusion(…): after= is an earlier step than before=.")
    if within is not None and (last is not None or first is None):
        raise RuleError("exclusion(…): within= goes with after= alone.")
    length = None if within is None else checked_length(within, "exclusion(…): within")
    return ExclusionHandle(found, first, last, length)


def sequence(
    *steps: SelectedEvents | StepHandle,
    within: Duration | None = None,
    same: Same | None = None,
    ties: Literal["strict", "loose"] = "strict",
    adjacent: bool = False,
    any_order: bool = False,
    without: Without = (),
) -> SequenceHandle:
    """Make the rule that events came in an order: some choice of one event a step satisfies everything.

    Args:
        steps: `did(…)` or `step(did(…), …)`, in order.
        within: from the first chosen event to the last at most this long, inclusive.
        same: a property, or a list of properties, that all chosen events share in value.
        ties: `loose` lets a step be at the same instant as the one before.
        adjacent: no other event of the profile lies in between.
        any_order: the order doesn't matter.
        without: events that must not lie between the first and the last step; exclusion(…) for other places.

    Raises:
        RuleError: anything that can't be meant.
    """
    if not steps:
        raise RuleError("sequence(…) takes its steps, for example sequence(did('A'), did('B')).")
    _enough(len(steps))
    found = [each if isinstance(each, StepHandle) else step(each) for each in steps]
    _check_distances(found, any_order=any_order, adjacent=adjacent)
    if ties not in ("strict", "loose"):
        raise RuleError("sequence(…): ties is 'strict' or 'loose'.")
    absent = [each for number, one in enumerate(found) for each in _between(one, number)]
    for each in _each(without):
        placed = each if isinstance(each, ExclusionHandle) else _inside(each, len(found))
        absent.append(placed.among(len(found)))
    if any_order and absent:
        raise RuleError("sequence(…, any_order=True) has no in-between, so without= has no meaning.")
    total = None if within is None else checked_length(within, "sequence(…): within")
    for each in found:
        if total is not None and each.step.after is not None and each.step.after.seconds > total.seconds:
            raise RuleError("sequence(…): a step comes later than within= allows for the whole.")
    return SequenceHandle(
        Sequence(
            tuple(each.step for each in found),
            tuple(absent),
            () if same is None else _paths(same, "sequence"),
            total,
            ties,
            adjacent,
            any_order,
        )
    )


def repetition(events: SelectedEvents, n: object, within: object) -> SequenceHandle:
    """Make the rule that events came several times close together.

    Args:
        events: which.
        n: how many times.
        within: from the first of them to the last at most this long, inclusive.

    Raises:
        RuleError: not a number of times, or not a length.
    """
    where = f"{events!r}.repeated(…)"
    times = whole(n, f"{where}: n", 2, _MOST_STEPS)
    length = checked_length(within, where)
    # equal steps have no order among themselves, so two at one instant are two
    return SequenceHandle(Sequence((Step(events.events),) * times, within=length, ties="loose"))


@dataclass(frozen=True, slots=True, eq=False)
class FunnelHandle(Unfinished):
    """Steps that people are expected to take in order; ask how far they came."""

    steps: tuple[SelectedEvents | StepHandle, ...]
    length: Duration | None
    shared: Same | None

    def __repr__(self) -> str:
        """Write how many steps it has."""
        return f"funnel(… {len(self.steps)} steps)"

    def refuse(self) -> NoReturn:
        """Say that it is no rule yet.

        Raises:
            RuleError: always.
        """
        raise RuleError(f"{self!r} is no rule until you ask .reached(2) or .dropped_after(2).")

    def reached(self, n: int) -> Rule:
        """Make the rule that a profile took the steps up to one.

        Args:
            n: the step, counted from 1.

        Raises:
            RuleError: no such step.
        """
        number = whole(n, f"{self!r}.reached(…): n", 1, len(self.steps))
        found = sequence(*self.steps[:number], within=self.length, same=self.shared).sequence
        if number == 1 and not found.same:
            return Rule(Compare(Count(found.steps[0].events), ">=", Number(1.0)))
        return Rule(found)

    def dropped_after(self, n: int) -> Rule:
        """Make the rule that a profile took the steps up to one, and so far never went on to the next.

        Args:
            n: the step, counted from 1, and not the last.

        Raises:
            RuleError: no such step, or the last one.
        """
        number = whole(n, f"{self!r}.dropped_after(…): n", 1, len(self.steps) - 1)
        return Rule(AllOf((self.reached(number).node, Not(self.reached(number + 1).node))))

    def _compare(self, op: OrderOp, value: object) -> Rule:  # noqa: ARG002
        self.refuse()


def funnel(
    *steps: SelectedEvents | StepHandle, within: Duration | None = None, same: Same | None = None
) -> FunnelHandle:
    """Describe the steps that people are expected to take in order.

    Args:
        steps: two or more, `did(…)` or `step(did(…), …)`.
        within: from the first step to the last at most this long, inclusive.
        same: a property, or a list of properties, that all events share in value.

    Raises:
        RuleError: fewer than two steps, or steps that can't be meant.
    """
    if len(steps) < 2:
        raise RuleError("funnel(…) takes two steps or more, for example funnel(did('A'), did('B')).")
    sequence(*steps, within=within, same=same)
    return FunnelHandle(steps, within, same)


def _events(given: object, where: str) -> Events:
    if isinstance(given, SelectedEvents):
        return given.events
    if isinstance(given, SequenceHandle):
        raise RuleError(
            f"{where}(…) takes events, not a sequence: write did('A').followed_by(…).followed_by(…)."
        )
    raise RuleError(f"{where}(…) takes events, for example did('Order Completed').")


def _between(found: StepHandle, number: int) -> tuple[Exclusion, ...]:
    return tuple(Exclusion(each, number - 1, number) for each in found.without)


def _inside(given: object, steps: int) -> ExclusionHandle:
    if steps == 1:
        raise RuleError("A sequence of one step has no inside; place without= by exclusion(…, after=1).")
    return ExclusionHandle(_events(given, "without="), 1, steps, None)


def _each(given: object) -> tuple[object, ...]:
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def _paths(given: object, where: str) -> tuple[Path, ...]:
    several = given if isinstance(given, (list, tuple)) else [given]
    if not several:
        raise RuleError(f"{where}(…): same=[] names no property; leave it out.")
    return tuple(dict.fromkeys(path_of(each, f"{where}(…): same") for each in several))


def _enough(steps: int) -> None:
    if steps > _MOST_STEPS:
        raise RuleError(
            f"A sequence has at most {_MOST_STEPS} steps; a count in a window asks for more events."
        )


def _check_distances(found: list[StepHandle], *, any_order: bool, adjacent: bool) -> None:
    first, *later = found
    has = [each.step for each in later if each.step != Step(each.step.events)]
    if first.step != Step(first.step.events) or first.without:
        raise RuleError(
            "sequence(…): the first step has nothing before it, so within=, after= … belong to the next."
        )
    if any_order and (has or adjacent):
        raise RuleError(
            "sequence(…, any_order=True) has no order, so it goes with within= of the whole, and not with "
            "distances between steps or adjacent=True."
        )
    for name, given in (("adjacent", adjacent), ("any_order", any_order)):
        if not isinstance(given, bool):
            raise RuleError(f"sequence(…): {name} is True or False.")
