"""Checks of what a project writes about a destination, shared by all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from exporters.http import secure
from identity.errors import ConfigurationError, did_you_mean
from identity.privacy.hashing import RECIPES

__all__ = ["MATCH_KEYS", "checked_base_url", "checked_match", "checked_purpose"]

MATCH_KEYS = ("email", "phone")
"""Identifiers that platforms match on by themselves; each is one row, so a removal names what was sent."""


def checked_match(place: str, platform: str, match: Sequence[str]) -> tuple[str, ...]:
    """Check a destination's match keys.

    Args:
        place: the destination, for the error.
        platform: prefix of its recipes.
        match: what the project wrote.

    Raises:
        ConfigurationError: none, an unknown one, or a plain text instead of a list.
    """
    known = [key for key in MATCH_KEYS if f"{platform}.{key}" in RECIPES]
    if isinstance(match, str) or not match:
        raise ConfigurationError(f"{place}: match= is a list of match keys, such as {known}.")
    for key in match:
        if key not in known:
            raise ConfigurationError(
                f"{place}: no match key {key!r}; there are {', '.join(known)}.{did_you_mean(str(key), known)}"
            )
    return tuple(dict.fromkeys(match))


def checked_purpose(place: str, purpose: str) -> str:
    """Check a destination's purpose.

    Args:
        place: the destination, for the error.
        purpose: what the project wrote.

    Raises:
        ConfigurationError: not a lower-case word.
    """
    if not isinstance(purpose, str) or not re.fullmatch(r"[a-z][a-z0-9_ -]*", purpose):
        raise ConfigurationError(
            f"{place}: purpose= is what people consent to, in lower case, such as 'advertising'."
        )
    return purpose


def checked_base_url(place: str, url: str) -> str:
    """Check a platform's base URL.

    Args:
        place: the destination, for the error.
        url: what the project wrote.

    Raises:
        ConfigurationError: neither HTTPS nor this machine.
    """
    if not secure(url):
        raise ConfigurationError(f"{place}: base_url= is https://…, or http://127.0.0.1:PORT for practice.")
    return url.rstrip("/")
