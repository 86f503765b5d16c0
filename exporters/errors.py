"""The errors of the way out, by what the caller should do.

```
AudienceEngineError
└── ExportError          a destination could not be served; the ledger keeps what is true
    ├── TransientError   try again later; `unknown` says that the request may have been applied
    ├── RejectedError    the platform refused the request; sending it again changes nothing
    └── AuthError        the access token is missing, expired or lacks a right; renew it
```
"""

from __future__ import annotations

from identity.errors import AudienceEngineError

__all__ = ["AuthError", "ExportError", "RejectedError", "TransientError"]


class ExportError(AudienceEngineError):
    """A destination could not be served."""


class TransientError(ExportError):
    """The platform can't answer now.

    Attributes:
        retry_after: seconds that the platform asks to wait, or None.
        unknown: True when the request may have been applied although no answer came.
    """

    def __init__(self, text: str, *, retry_after: float | None = None, unknown: bool = True) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.unknown = unknown


class RejectedError(ExportError):
    """The platform refused the whole request and applied nothing of it.

    Attributes:
        code: the platform's own code.
        rows: (index in the batch, code) of the rows that it named as the reason; empty when it named none.
    """

    def __init__(self, text: str, *, code: str, rows: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(text)
        self.code = code
        self.rows = rows


class AuthError(ExportError):
    """The access token is missing, expired, or lacks a right."""
