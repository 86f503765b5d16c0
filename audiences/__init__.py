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

from audiences.audience import Audience  # noqa: E402
from audiences.dsl import days, did, hours, minutes, prop, trait, weeks  # noqa: E402
from audiences.errors import RuleError  # noqa: E402
from audiences.handles import all_of, any_of, in_audience  # noqa: E402
from audiences.project import Project  # noqa: E402

__all__ = [
    "Audience",
    "Project",
    "RuleError",
    "all_of",
    "any_of",
    "days",
    "did",
    "hours",
    "in_audience",
    "minutes",
    "prop",
    "trait",
    "weeks",
]
