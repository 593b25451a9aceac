"""Mail that did not arrive, or that somebody did not want: what Mailgun tells of it."""

from typing import Any, Final

from storeroom.core.contact import InvalidEmail
from storeroom.database.service import Context
from storeroom.identity import ProfileChanges, UserNotFound, Users
from storeroom.inbox import Handled, InboxMessage

PERMANENT: Final = "permanent"


async def mail_failed(context: Context, message: InboxMessage) -> Handled:
    """To an address that will never take mail no mail that sells is sent any more; one that is full may empty."""
    if _said(message).get("severity") != PERMANENT:
        return Handled(result={"reason": "it may arrive later"}, skipped=True)
    return await _no_more_marketing(context, message)


async def mail_complained(context: Context, message: InboxMessage) -> Handled:
    """Somebody called our mail spam: the consent is taken back, as they would say it."""
    return await _no_more_marketing(context, message)


async def _no_more_marketing(context: Context, message: InboxMessage) -> Handled:
    recipient, users = str(_said(message).get("recipient") or ""), Users(context)
    try:
        user = await users.by_email(email=recipient)
    except (UserNotFound, InvalidEmail):
        return Handled(result={"reason": "no account has this address"}, skipped=True)
    had = (await users.profile(user_id=user.id)).marketing_consent
    if had:
        await users.update_profile(user_id=user.id, changes=ProfileChanges(marketing_consent=False))
    return Handled(result={"user_id": str(user.id), "consent_withdrawn": had})


def _said(message: InboxMessage) -> dict[str, Any]:
    said = message.payload.get("event-data")
    return said if isinstance(said, dict) else {}
