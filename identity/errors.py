"""The errors of the engine's floor, by what the reader should do.

```
AudienceEngineError          root of every error that this project raises on purpose
├── ConfigurationError       a setting is wrong: change it and try again
├── InputError               a file or a stream can't be read: look at the place it names
├── KeyFileError             the key file is missing, unreadable or not the one that sealed the data
├── SealError                a sealed value can't be opened: wrong key, or it was changed
├── WarehouseError           the warehouse refused: locked, missing, of another version
├── LedgerError              the ledger refused: locked, missing, of another version
├── HashingError             a value has no match key in a platform's format
└── NotFoundError            no such profile, audience, identifier
```

No text of an error ever holds a value that could be personal data.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AudienceEngineError",
    "ConfigurationError",
    "HashingError",
    "InputError",
    "KeyFileError",
    "LedgerError",
    "NotFoundError",
    "SealError",
    "WarehouseError",
    "did_you_mean",
]


class AudienceEngineError(Exception):
    """Root of every error that this project raises on purpose; its text is meant for the reader."""


class ConfigurationError(AudienceEngineError):
    """A setting is wrong; the text names it, what it may be and where it stands."""


class InputError(AudienceEngineError):
    """A file or stream can't be read at all; single bad records are quarantined instead."""


class KeyFileError(AudienceEngineError):
    """The key file is missing, readable by others, malformed, or not the one that sealed the data."""


class SealError(AudienceEngineError):
    """A sealed value can't be opened; deliberately says nothing about which part failed."""


class WarehouseError(AudienceEngineError):
    """The warehouse can't be opened or refused a statement."""


class LedgerError(AudienceEngineError):
    """The ledger can't be opened or refused a statement."""


class HashingError(AudienceEngineError):
    """A value can't be brought into a platform's format, so there is no match key for it."""


class NotFoundError(AudienceEngineError):
    """No profile, audience or identifier by that name."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest known name.

    Args:
        name: what was asked for.
        known: the names that exist.

    Returns:
        `" Did you mean 'x'?"` with a leading space, or an empty text when nothing is near.
    """
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
