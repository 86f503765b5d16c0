"""Sequences in plain Python: try every choice of different events for the steps."""

from __future__ import annotations

from collections.abc import Sequence as Several
from datetime import timedelta
from typing import Any

from audiences.rules import Exclusion, Path, Sequence
from tests.reference_events import Event, Subject, chosen
from tests.reference_values import dig, place


def sequence_holds(sequence: Sequence, subject: Subject) -> bool:
    """Whether some choice of one event a step, all different, satisfies everything."""
    position = {event.message_id: number for number, event in enumerate(subject.events)}
    candidates = [chosen(step.events, subject) for step in sequence.steps]

    def extended(picked: list[Event]) -> bool:
        if len(picked) == len(candidates):
            return whole_holds(sequence, picked, subject)
        return any(
            extended([*picked, event])
            for event in candidates[len(picked)]
            if all(event.message_id != other.message_id for other in picked)
            and (not picked or sequence.any_order or step_holds(sequence, picked, event, position))
        )

    return extended([])


def step_holds(sequence: Sequence, picked: Several[Event], event: Event, position: dict[str, int]) -> bool:
    """Whether an event may be the next step after those that were picked."""
    step, previous = sequence.steps[len(picked)], picked[-1]
    passed = event.occurred_at - previous.occurred_at
    since_then = event.occurred_at - (previous if step.since == "previous" else picked[0]).occurred_at
    later_by = position[event.message_id] - position[previous.message_id]
    return (
        (passed > timedelta(0) if sequence.ties == "strict" else passed >= timedelta(0))
        and (step.within is None or since_then <= step.within.delta)
        and (step.after is None or since_then >= step.after.delta)
        and (step.within_events is None or 1 <= later_by <= step.within_events)
        and (not sequence.adjacent or later_by == 1)
    )


def whole_holds(sequence: Sequence, picked: Several[Event], subject: Subject) -> bool:
    """Whether a whole choice lies close together, agrees in its properties, and has nothing between it."""
    instants = [event.occurred_at for event in picked]
    if sequence.within is not None and max(instants) - min(instants) > sequence.within.delta:
        return False
    shared = [common(picked, path) for path in sequence.same]
    if None in shared:
        return False
    return not any(is_broken(sequence, exclusion, picked, subject) for exclusion in sequence.exclusions)


def common(events: Several[Event], path: Path) -> Any:
    """Where the one text, number or flag stands that all events have; None when they have no such."""
    places = {place(dig(event.properties, path)) for event in events}
    return places.pop() if len(places) == 1 else None


def is_broken(sequence: Sequence, exclusion: Exclusion, picked: Several[Event], subject: Subject) -> bool:
    """Whether something lies where nothing may, or whether it is too early to tell."""
    start = None if exclusion.after is None else picked[exclusion.after]
    end = None if exclusion.before is None else picked[exclusion.before]
    until = None
    if exclusion.within is not None:
        assert start is not None, exclusion
        until = start.occurred_at + exclusion.within.delta
        if until > subject.as_of:
            return True
    return any(
        (start is None or event.occurred_at > start.occurred_at)
        and (end is None or event.occurred_at < end.occurred_at)
        and (until is None or event.occurred_at <= until)
        and all(common([event, picked[0]], path) is not None for path in sequence.same)
        for event in chosen(exclusion.events, subject)
    )
