"""The part of sentences about rules that says in what order events came."""

from __future__ import annotations

from audiences.phrases import counted, explain_duration, listed_or, name_of, of_events
from audiences.rules import Exclusion, Sequence, Step

__all__ = ["sequence_phrase"]


def sequence_phrase(node: Sequence, *, yes: bool) -> str:
    """Say in what order events came.

    Args:
        node: the sequence.
        yes: False to say that they did not.
    """
    repeated = len(set(node.steps)) == 1 and node.steps[0] == Step(node.steps[0].events)
    whole = list(_whole(node))
    if len(node.steps) == 1:
        start = f"{'did' if yes else 'did not do'} {of_events(node.steps[0].events)}"
    elif repeated:
        events = of_events(node.steps[0].events)
        start = f"{'did' if yes else 'did not do'} {events} {counted(len(node.steps), 'time')}"
    elif node.any_order:
        events = listed_or([of_events(each.events) for each in node.steps], "and")
        start = f"{'did' if yes else 'did not do all of'} {events} in any order"
    else:
        first, *later = node.steps
        then = "".join(f", then {_distance(each)}{of_events(each.events)}" for each in later)
        start = f"{'did' if yes else 'did not do the sequence'} {of_events(first.events)}{then}"
    if len(whole) == 1 and len(node.steps) == 1:
        return f"{start} with {whole[0].removeprefix('with ')}"
    return ", ".join([start, *whole])


def _distance(step: Step) -> str:
    of = " of the first" if step.since == "first" else ""
    after = " after the first" if step.since == "first" else " later"
    parts = []
    if step.after is not None and step.within is not None:
        least, most = explain_duration(step.after), explain_duration(step.within)
        parts.append(f"at least {least} and at most {most}{after}")
    elif step.within is not None:
        parts.append(f"within {explain_duration(step.within)}{of}")
    elif step.after is not None:
        parts.append(f"at least {explain_duration(step.after)}{after}")
    if step.within_events is not None:
        parts.append(f"among the next {counted(step.within_events, 'event')}")
    return "".join(f"{part} " for part in parts)


def _whole(node: Sequence) -> list[str]:
    """What is said of the sequence as a whole, after its steps."""
    parts = []
    if node.same:
        parts.append(f"with the same {listed_or([name_of(path) for path in node.same], 'and')}")
    if node.within is not None:
        parts.append(f"all within {explain_duration(node.within)}")
    if node.adjacent:
        parts.append("with no other event in between")
    if node.ties == "loose" and len(node.steps) > 1 and len(set(node.steps)) > 1 and not node.any_order:
        parts.append("each at the instant of the one before or later")
    parts.extend(_exclusion(each, len(node.steps)) for each in node.exclusions)
    return parts


def _exclusion(exclusion: Exclusion, steps: int) -> str:
    no = f"with no {of_events(exclusion.events, '')}"
    match exclusion:
        case Exclusion(_, None, int() as before):
            return f"{no} before {_step(before, steps)}"
        case Exclusion(_, int() as after, int() as before):
            if steps == 2:
                return f"{no} in between"
            return f"{no} between step {after + 1} and step {before + 1}"
        case Exclusion(_, int() as after, None, within):
            of = f" within {explain_duration(within)}" if within is not None else ""
            return f"{no}{of} after {_step(after, steps)}"
        case _:
            raise AssertionError("an exclusion has a place")


def _step(number: int, steps: int) -> str:
    return "that" if steps == 1 else f"step {number + 1}"
