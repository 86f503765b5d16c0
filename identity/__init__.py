"""Who is who: events, identifiers, the graph, profiles, stores, and the privacy gates."""

from __future__ import annotations

from identity.identifiers import IdentifierType, IdentityRules, anonymous_id, custom, email, phone, user_id

__all__ = ["IdentifierType", "IdentityRules", "anonymous_id", "custom", "email", "phone", "user_id"]
