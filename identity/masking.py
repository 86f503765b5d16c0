"""How values are shown: enough to recognise one's own, not enough to learn another's."""

from __future__ import annotations

__all__ = ["mask"]

_SHOWN_WHOLE = 4


def mask(kind: str, value: str) -> str:
    """Shorten a value for a person's eyes.

    Args:
        kind: identifier type or personal class.
        value: the plain value.

    Returns:
        `a•••@e•••.com` for an e-mail address, the last two digits of a telephone number, the ends of an
        opaque id, and the first letter of anything else.
    """
    if kind == "email" and "@" in value:
        local, _, domain = value.rpartition("@")
        name, _, ending = domain.rpartition(".")
        return f"{local[:1]}•••@{name[:1]}•••.{ending}"
    if kind == "phone":
        return f"{value[:2]}•••{value[-2:]}"
    if kind == "user_id" or kind.endswith(("_id", ".id", ".idfa", ".push_token")):
        return value if len(value) <= _SHOWN_WHOLE else f"{value[:3]}•••{value[-1:]}"
    return f"{value[:1]}•••"
