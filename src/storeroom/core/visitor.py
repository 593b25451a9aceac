"""Whoever looks at a shop: a guest, known by a session, or an account."""

import msgspec

from storeroom.core.ids import SessionId, UserId


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """A guest has a session and no account; an account that came as a guest may have both."""

    user_id: UserId | None = None
    session_id: SessionId | None = None
