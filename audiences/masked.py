"""Stored values as they may be shown: without what is sealed in them."""

from __future__ import annotations

import json
from typing import Any

from identity.privacy.vault import SEALED_PREFIX

__all__ = ["masked"]


def masked(text: str) -> Any:
    """Read a stored value, with a word in the place of everything sealed.

    Args:
        text: the value as JSON.
    """
    return _masked(json.loads(text))


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items()}
    return "sealed" if isinstance(value, str) and value.startswith(SEALED_PREFIX) else value
