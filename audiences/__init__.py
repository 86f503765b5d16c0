"""Who is in: rules, audiences and their members."""

from __future__ import annotations

from importlib.util import find_spec as _find_spec
from pathlib import Path as _Path

for _name in ("identity", "exporters"):
    # a notebook's own folder comes first on the import path
    _found = _find_spec(_name)
    _where = _Path(_found.origin) if _found and _found.origin else None
    if _where is None or _where.parent.parent != _Path(__file__).parent.parent:
        raise ImportError(
            f"`import {_name}` finds {_where or 'nothing'}, not the package that belongs to {__file__}: "
            "rename or move that file or folder, or uninstall the other package of that name."
        )

from audiences.accounts import account, in_account  # noqa: E402
from audiences.audience import Audience, priority_list  # noqa: E402
from audiences.computed import ComputedTrait  # noqa: E402
from audiences.dsl import (  # noqa: E402
    days,
    did,
    did_anything,
    did_prefix,
    hours,
    minutes,
    seconds,
    weeks,
)
from audiences.errors import RuleError  # noqa: E402
from audiences.fields import prop, trait  # noqa: E402
from audiences.handles import all_of, any_of, everyone, in_audience, nobody, none_of  # noqa: E402
from audiences.population import consented, identified_by, sample, split, top  # noqa: E402
from audiences.project import Project  # noqa: E402
from audiences.queries import query, query_value  # noqa: E402
from audiences.sequences import exclusion, funnel, sequence, step  # noqa: E402

__all__ = [
    "Audience",
    "ComputedTrait",
    "Project",
    "RuleError",
    "account",
    "all_of",
    "any_of",
    "consented",
    "days",
    "did",
    "did_anything",
    "did_prefix",
    "everyone",
    "exclusion",
    "funnel",
    "hours",
    "identified_by",
    "in_account",
    "in_audience",
    "minutes",
    "nobody",
    "none_of",
    "priority_list",
    "prop",
    "query",
    "query_value",
    "sample",
    "seconds",
    "sequence",
    "split",
    "step",
    "top",
    "trait",
    "weeks",
]
