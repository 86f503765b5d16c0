"""Where a profile stands among all: samples, splits, the first by a figure; what it holds and permits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from audiences.errors import RuleError
from audiences.figures import MeasureHandle
from audiences.handles import Rule
from audiences.literals import checked_text, is_number, whole
from audiences.rules import Consented, Identified, QueryValue, Sampled, Top
from identity.errors import did_you_mean

__all__ = ["Split", "consented", "identified_by", "sample", "split", "top"]

_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a split; each is a rule under its own name, such as `spring.holdout`."""

    name: str
    parts: Mapping[str, Rule]

    def __getattr__(self, part: str) -> Rule:
        """Find a part by its name.

        Args:
            part: as it was named in split(…).

        Raises:
            AttributeError: no such part.
        """
        if part.startswith("_"):  # Python asks for these of every object
            raise AttributeError(part)
        if part not in self.parts:
            raise AttributeError(
                f"The split {self.name!r} has the parts {', '.join(self.parts)}, and no {part!r}."
                + did_you_mean(part, self.parts)
            )
        return self.parts[part]


def sample(share: float, *, split: str) -> Rule:
    """Make the rule that a profile is in a random sample, which stays the same for ever.

    Args:
        share: above 0 and below 1: the part of all profiles that is in the sample.
        split: a name that draws the sample; the same name draws the same order of people every time, so a
            larger share under it holds the smaller one.

    Raises:
        RuleError: no such share, or no name.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise RuleError("sample(…) takes a share above 0 and below 1, such as 0.1 for a tenth.")
    return Rule(Sampled(checked_text(split, "sample(…, split=…)", "split='spring'"), 0.0, float(share)))


def split(name: str, /, **shares: float) -> Split:
    """Divide all profiles at random into named parts, which stay the same for ever.

    Args:
        name: what draws the split; another name draws independently.
        shares: percentages of the parts in their order, 100 in all; `holdout=20` names those who get nothing.

    Raises:
        RuleError: fewer than two parts, or shares that are not 100 in all.
    """
    where = f"split({name!r}, …)"
    found = checked_text(name, "split(…)", "split('spring', a=80, holdout=20)")
    if len(shares) < 2:
        raise RuleError(f"{where} takes two parts or more, for example a=80, holdout=20.")
    ends = [Fraction(0)]
    for part, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 100:
            raise RuleError(f"{where}: {part} is a percentage above 0 and below 100.")
        if part.startswith("_") or part in ("name", "parts"):
            raise RuleError(f"{where}: a part can't be named {part!r}.")
        # as written: three times 33.3 and 0.1 are 100, whatever their binary fractions say
        ends.append(ends[-1] + Fraction(str(share)))
    if ends[-1] != 100:
        raise RuleError(f"{where}: the shares are {float(ends[-1])} in all, and not 100.")
    bounds = [float(end / 100) for end in ends]
    parts = {
        part: Rule(Sampled(found, start, stop))
        for part, start, stop in zip(shares, bounds[:-1], bounds[1:], strict=True)
    }
    return Split(found, parts)


def top(count: int | None = None, *, share: float | None = None, by: MeasureHandle) -> Rule:
    """Make the rule that a profile is among the first by a figure; those without the figure never are.

    Args:
        count: how many profiles.
        share: instead, which part of the profiles that have the figure, such as 0.1.
        by: the figure, larger ones first; ties go by profile id.

    Raises:
        RuleError: neither or both of count and share, or a figure that is no number.
    """
    if (
        not isinstance(by, MeasureHandle)
        or by.each
        or not (is_number(by.operand) or isinstance(by.operand, QueryValue))
    ):
        raise RuleError(
            "top(…, by=…) takes a figure that is a number, for example by=did('Order').sum('revenue')."
        )
    if (count is None) == (share is None):
        raise RuleError(
            "top(…) takes a number of profiles, top(10, by=…), or a share of them, top(share=0.1, by=…)."
        )
    if count is not None:
        return Rule(Top(by.measure, count=whole(count, "top(…): count", 1, _MOST)))
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise RuleError("top(share=…) lies above 0 and below 1, such as 0.1 for the first tenth.")
    return Rule(Top(by.measure, share=float(share)))


def identified_by(*types: str) -> Rule:
    """Make the rule that a profile holds an identifier of one of these types.

    Args:
        types: such as `user_id` or `email`.

    Raises:
        RuleError: no type.
    """
    if not types:
        raise RuleError(
            "identified_by(…) takes types of identifiers, for example identified_by('user_id', 'email')."
        )
    found = {checked_text(each, "identified_by(…)", "identified_by('email')") for each in types}
    return Rule(Identified(tuple(sorted(found))))


def consented(purpose: str) -> Rule:
    """Make the rule that a profile is permitted for a purpose: granted somewhere, denied nowhere.

    Args:
        purpose: as the project's destinations name it, such as `advertising`.

    Raises:
        RuleError: no purpose.
    """
    return Rule(Consented(checked_text(purpose, "consented(…)", "consented('advertising')")))
