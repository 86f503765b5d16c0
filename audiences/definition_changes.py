"""What became of a project's definitions since they were last computed, and who moves; stores nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, cast

from sqlglot import exp

from audiences.asking import question_of
from audiences.audience import Audience
from audiences.compile import Question
from audiences.computations import Computation, meaning_of, read_computations
from audiences.computed import ComputedTrait
from audiences.computing import compute_members, compute_values, with_parts_of
from audiences.difference import Change, Verdict, compare_measures, compare_rules
from audiences.errors import StoredRuleError
from audiences.explain import explain
from audiences.membership import current_members
from audiences.phrases import figure
from audiences.project import Definitions, Stores
from audiences.rules import Measure, Node
from audiences.scope import Subject
from audiences.stored_rules import measure_from_json, rule_from_json, with_tokens
from identity.errors import NotFoundError, did_you_mean
from identity.privacy.vault import SEALED_PREFIX
from identity.store.warehouse import Warehouse

__all__ = ["Comparison", "DefinitionChange", "compare_definitions"]

_Wanted = Audience | ComputedTrait
_TOKEN = re.compile(rf"{SEALED_PREFIX}([0-9a-f]{{6}})[0-9a-f-]*")


@dataclass(frozen=True, slots=True)
class DefinitionChange:
    """What became of one audience or computed trait.

    Attributes:
        key: its key.
        kind: `profile` or `account` for audiences of those, `trait` for computed traits; the former one when
            it is gone.
        state: whether it is new, gone, or means something else than what is stored.
        before: what is stored of its rule, in words; None when it is new, or can't be read any more.
        now: its rule in words; None when it is gone.
        verdict: what the change means for everybody, whatever the data; None when it is new or gone.
        edits: what was edited, in words.
        stored: members, or profiles with a value, that are stored.
        computed: the same by the definition, computed now.
        entering: who would be new.
        leaving: who would leave, or lose their value.
        changing: who would have another value of a computed trait.
    """

    key: str
    kind: str
    state: Literal["new", "changed", "gone"]
    before: str | None
    now: str | None
    verdict: Verdict | None
    edits: tuple[str, ...]
    stored: int
    computed: int
    entering: int
    leaving: int
    changing: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A project's definitions beside what is stored.

    Attributes:
        as_of: the instant that members were computed for, UTC.
        changes: what is new, gone, or means something else.
        unchanged: keys of the others.
    """

    as_of: datetime
    changes: tuple[DefinitionChange, ...]
    unchanged: tuple[str, ...]


def compare_definitions(
    stores: Stores, definitions: Definitions, select: Sequence[str], as_of: datetime
) -> Comparison:
    """Compare what a project defines with what was last computed.

    Args:
        stores: the project's open stores.
        definitions: the loaded project.
        select: keys of audiences and computed traits, also of former ones; empty for all.
        as_of: the instant to compute members for, UTC.

    Raises:
        NotFoundError: nothing by one of those keys, neither defined nor stored.
        RuleError: a rule that can't be computed.
    """
    known = read_computations(stores.warehouse)
    defined: list[_Wanted] = [*definitions.audiences, *definitions.traits]
    wanted = {each.key: each for each in defined}
    gone = sorted(set(known) - set(wanted))
    for key in select:
        if key not in wanted and key not in known:
            near = did_you_mean(key, [*wanted, *gone])
            raise NotFoundError(
                f"Nothing by the key {key!r} is defined in {definitions.folder} or stored.{near}"
            )
    question = question_of(stores, definitions, as_of)
    found = _what_changed(defined, known, question)
    asked = set(select) or {*wanted, *gone}
    changed = [wanted[key] for key in found if key in asked]
    now = _computed_now(stores.warehouse, changed, question)
    changes = [
        _moving(stores.warehouse, each, known.get(each.key), found[each.key], now[each.key], question)
        for each in changed
    ]
    changes += [_gone(stores.warehouse, known[key]) for key in gone if key in asked]
    unchanged = tuple(key for key in wanted if key in asked and key not in found)
    return Comparison(as_of, tuple(changes), unchanged)


# ------------------------------------------------------------------------------------------- definitions


def _what_changed(
    wanted: Sequence[_Wanted], known: Mapping[str, Computation], question: Question
) -> dict[str, Change | None]:
    """What is new, as None, or means something else, by key; those that others are built on come first."""
    found: dict[str, Change | None] = {}
    verdicts: dict[str, Verdict] = {}
    for each in wanted:
        version = known.get(each.key)
        if version is None:
            found[each.key] = None
            verdicts[each.key] = "changed"
        elif version.fingerprint != meaning_of(each, question.audiences, question.privacy):
            change = _compared(each, version, verdicts, question)
            found[each.key] = change
            verdicts[each.key] = change.verdict
    return found


def _compared(
    wanted: _Wanted, version: Computation, verdicts: Mapping[str, Verdict], question: Question
) -> Change:
    kind = _kind(wanted)
    if version.kind != kind:
        return Change("changed", (f"it was made of {version.kind}s, and is made of {kind}s",))
    try:
        if isinstance(wanted, ComputedTrait):
            change = compare_measures(measure_from_json(version.rule), _measure(wanted, question))
        else:
            change = compare_rules(rule_from_json(version.rule), _rule(wanted, question), verdicts)
    except StoredRuleError as error:
        return Change("changed", (str(error),))
    return replace(change, edits=tuple(map(_masked, change.edits)))


def _kind(wanted: _Wanted) -> str:
    return "trait" if isinstance(wanted, ComputedTrait) else wanted.of


# a definition's literals of sealed fields are compared, and shown, as tokens, like those that are stored


def _rule(audience: Audience, question: Question) -> Node:
    return with_tokens(audience.rule, question.privacy, of=audience.of, place=audience.place)


def _measure(trait: ComputedTrait, question: Question) -> Measure:
    return with_tokens(trait.measure, question.privacy, place=trait.place)


def _sentence(wanted: _Wanted, question: Question) -> str:
    if isinstance(wanted, ComputedTrait):
        return _masked(_capital(figure(_measure(wanted, question))))
    return _masked(explain(_rule(wanted, question), wanted.of))


def _stored_sentence(version: Computation) -> str | None:
    try:
        if version.kind == "trait":
            return _masked(_capital(figure(measure_from_json(version.rule))))
        return _masked(explain(rule_from_json(version.rule), cast("Subject", version.kind)))
    except StoredRuleError:
        return None


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _masked(text: str) -> str:
    """Tokens by their beginning, which is enough to tell them apart."""
    return _TOKEN.sub(r"sealed \1", text)


# ------------------------------------------------------------------------------------------- who moves


def _computed_now(
    warehouse: Warehouse, changed: Sequence[_Wanted], question: Question
) -> dict[str, dict[str, object]]:
    """Members, or profiles with their value, by the definitions; by key."""
    found: dict[str, dict[str, object]] = {}
    for of in ("profile", "account"):
        group = [each for each in changed if isinstance(each, Audience) and each.of == of]
        if group:
            members = compute_members(warehouse, with_parts_of(group, question.audiences), question)
            found |= {each.key: dict.fromkeys(members[each.key]) for each in group}
    traits = [each for each in changed if isinstance(each, ComputedTrait)]
    if traits:
        computed = compute_values(warehouse, traits, question)
        found |= {key: _plain(values) for key, values in computed.items()}
    return found


def _moving(
    warehouse: Warehouse,
    wanted: _Wanted,
    version: Computation | None,
    change: Change | None,
    now: Mapping[str, object],
    question: Question,
) -> DefinitionChange:
    stored = _stored(warehouse, version) if version else {}
    same_kind = version is None or version.kind == _kind(wanted)
    both = stored.keys() & now.keys() if same_kind else set()
    return DefinitionChange(
        key=wanted.key,
        kind=_kind(wanted),
        state="changed" if version else "new",
        before=_stored_sentence(version) if version else None,
        now=_sentence(wanted, question),
        verdict=change.verdict if change else None,
        edits=change.edits if change else (),
        stored=len(stored),
        computed=len(now),
        entering=len(now) - len(both),
        leaving=len(stored) - len(both),
        changing=sum(stored[each] != now[each] for each in both),
    )


def _gone(warehouse: Warehouse, version: Computation) -> DefinitionChange:
    stored = len(_stored(warehouse, version))
    return DefinitionChange(
        key=version.key,
        kind=version.kind,
        state="gone",
        before=_stored_sentence(version),
        now=None,
        verdict=None,
        edits=(),
        stored=stored,
        computed=0,
        entering=0,
        leaving=stored,
    )


def _stored(warehouse: Warehouse, version: Computation) -> dict[str, object]:
    if version.kind != "trait":
        return dict.fromkeys(current_members(warehouse, version.key, cast("Subject", version.kind)))
    rows = warehouse.query(
        exp.select("profile_id", "value").from_("computed_traits").where(exp.column("name").eq(version.key))
    )
    return _plain(dict(zip(rows["profile_id"].to_pylist(), rows["value"].to_pylist(), strict=True)))


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {owner: json.loads(value) if isinstance(value, str) else value for owner, value in values.items()}
