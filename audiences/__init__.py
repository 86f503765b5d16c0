"""Who is in: rules, audiences and their members."""

from __future__ import annotations

from audiences.audience import Audience
from audiences.dsl import days, did, hours, minutes, prop, trait, weeks
from audiences.errors import RuleError
from audiences.handles import all_of, any_of, in_audience
from audiences.project import Project

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
