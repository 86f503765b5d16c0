"""Touched profiles: whom each resolve changed, so that what is computed of profiles can be computed of few.

Every resolve that changed anything takes the next number and lists the profiles that got events or trait
changes, or that gained or lost an identifier, the former ones of what moved included. Whatever else changes
what is known of profiles, such as what they permit, notes them likewise. A row without a profile stands for
everybody.
"""

from __future__ import annotations

from sqlglot import exp

from identity.store.warehouse import Warehouse
from identity.tables import get_setting, set_setting

__all__ = ["everybody_touched_since", "forget_touched", "note_touched", "touched_number", "touched_since"]

_SETTING = "touched_number"


def touched_number(warehouse: Warehouse) -> int:
    """The number of the last resolve that changed anything; 0 before the first.

    Args:
        warehouse: an open warehouse with its tables.
    """
    return int(get_setting(warehouse, _SETTING) or 0)


def touched_since(number: int) -> exp.Select:
    """Write the query of the profiles, each once, that later resolves touched.

    Some of them may have become part of another profile since. Where `everybody_touched_since` says so, the
    answer is not this query but all profiles.

    Args:
        number: of the last resolve that the reader has seen; 0 for none.
    """
    return (
        exp.select("profile_id")
        .distinct()
        .from_("touched_profiles")
        .where(exp.column("number") > exp.Literal.number(number), "profile_id IS NOT NULL")
    )


def everybody_touched_since(warehouse: Warehouse, number: int) -> bool:
    """Whether later resolves touched everybody, or whom they touched has been forgotten.

    Args:
        warehouse: an open warehouse with its tables.
        number: of the last resolve that the reader has seen; 0 for none.
    """
    later = warehouse.query(
        exp.select("count(DISTINCT number) AS numbers", "count(*) AS touches", "count(profile_id) AS named")
        .from_("touched_profiles")
        .where(exp.column("number") > exp.Literal.number(number))
    ).to_pylist()[0]
    known = later["numbers"] == max(touched_number(warehouse) - number, 0)
    return not known or later["named"] < later["touches"]


def forget_touched(warehouse: Warehouse, up_to: int) -> None:
    """Forget whom the resolves up to a number touched; a reader that has seen less must look at everybody.

    Args:
        warehouse: an open warehouse with its tables.
        up_to: the smallest number that any reader has seen.
    """
    warehouse.execute(exp.delete("touched_profiles").where(exp.column("number") <= exp.Literal.number(up_to)))


def note_touched(warehouse: Warehouse, touched: str) -> None:
    """Give the touched profiles the next number, when there are any.

    Args:
        warehouse: an open warehouse with its tables.
        touched: a table of `profile_id`, each once.
    """
    count = _count(warehouse, touched)
    if not count:
        return
    number = touched_number(warehouse) + 1
    # of most profiles a list is no help, and of the first resolve nobody knows anything yet
    everybody = number == 1 or 2 * count > _count(warehouse, "profiles")
    whom = exp.select(exp.cast(exp.null(), "UUID").as_("profile_id"))
    if not everybody:
        whom = exp.select("profile_id").from_(touched)
    warehouse.execute(
        exp.insert(
            whom.select(exp.Literal.number(number).as_("number")),
            "touched_profiles",
            columns=["profile_id", "number"],
        )
    )
    set_setting(warehouse, _SETTING, str(number))


def _count(warehouse: Warehouse, table: str) -> int:
    found = warehouse.query(exp.select(exp.Count(this=exp.Star()).as_("n")).from_(table))
    return int(found["n"][0].as_py())
