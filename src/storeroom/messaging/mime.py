"""A mail as it is sent. What stands in a header cannot leave it, whatever a name or a subject holds."""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final
from uuid import UUID, uuid5

import idna
import msgspec

from storeroom.core.contact import InvalidEmail, normal_email
from storeroom.core.senders import Mailbox
from storeroom.messaging.model import Words

_POLICY: Final = SMTP.clone(cte_type="7bit")  # so that every server on the way can take it
_UTF8: Final = SMTP.clone(utf8=True, cte_type="7bit")  # for an address with letters beyond ASCII: RFC 6532

LINE_MAX: Final = 998  # RFC 5322


class NotAnAddress(ValueError):
    """Nobody can get a mail there."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A mail with its envelope."""

    sender: str  # of the envelope: where the server says that it could not be brought
    receivers: tuple[str, ...]  # the one it is for comes first, then the copies
    utf8: bool  # needs SMTPUTF8
    content: bytes
    copy: bool = False  # for nobody in particular: each of the receivers may be refused


def letter(
    *,
    message_id: UUID,
    at: datetime,
    to: str,
    words: Words,
    envelope: Mailbox,
    author: Mailbox,
    reply_to: str | None = None,
    bcc: tuple[str, ...] = (),
    unsubscribe: str | None = None,
) -> Letter:
    """Put a mail together; the same each time for the same message, its id as well.

    Args:
        message_id: of the row in the queue; a mailbox shows a repeat of it once, or can.
        at: when it was queued.
        to: who it is for.
        words: what it says.
        envelope: of the installation, who the server knows and gets what comes back.
        author: who it is from, as its reader sees.
        reply_to: who gets an answer.
        bcc: get a copy that the receiver does not see.
        unsubscribe: the page where mails of this kind are turned off.

    Raises:
        NotAnAddress: `to` is none.
    """
    sender, receiver, author_at = (_address(each) for each in (envelope.address, to, author.address))
    copies = tuple(address for each in bcc if (address := _address(each)) != receiver)
    answer = _address(reply_to) if reply_to else None
    utf8 = not all(each.isascii() for each in (sender, receiver, author_at, *copies, answer or ""))
    mail = EmailMessage(policy=_UTF8 if utf8 else _POLICY)
    mail["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    mail["Date"] = format_datetime(at)
    mail["From"] = _named(author.name, author_at)
    if author_at != sender:
        mail["Sender"] = _named("", sender)
    mail["To"] = _named("", receiver)
    if answer:
        mail["Reply-To"] = _named("", answer)
    mail["Subject"] = _line(words.subject) or "-"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no machine answers
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(words.text)
    if words.html is not None:
        mail.add_alternative(words.html, subtype="html")
        # What divides the parts is made of the id too: a repeat is the same to the byte.
        mail.set_boundary(f"storeroom-{message_id}")
    return Letter(
        sender=sender, receivers=(receiver, *copies), utf8=utf8, content=_unsubscribe(unsubscribe) + bytes(mail)
    )


def copy_letter(
    *, message_id: UUID, at: datetime, to: str, words: Words, envelope: Mailbox, author: Mailbox, bcc: tuple[str, ...]
) -> Letter | None:
    """A mail for those alone who get a copy, in words of their own; None: there are none beside the receiver.

    Args:
        message_id: of the mail that it is a copy of; the copy has another.
        at: as of that mail.
        to: who that mail was for, as its reader sees.
        words: what the copy says.
        envelope: as of that mail.
        author: as of that mail.
        bcc: who gets it.

    Raises:
        NotAnAddress: one of them is none.
    """
    own = uuid5(message_id, "copy")
    mail = letter(message_id=own, at=at, to=to, words=words, envelope=envelope, author=author, bcc=bcc)
    _, *copies = mail.receivers
    return msgspec.structs.replace(mail, receivers=tuple(copies), copy=True) if copies else None


def _unsubscribe(link: str | None) -> bytes:
    """In one line: an address that is folded or encoded is not found by those who look for it."""
    if not link or not link.isascii() or not link.startswith("https://"):
        return b""
    line = f"List-Unsubscribe: <{_line(link).replace('>', '%3E').replace(' ', '%20')}>"
    return f"{line}\r\n".encode("ascii") if len(line) <= LINE_MAX else b""


def _named(name: str, address: str) -> Address:
    user, _, domain = address.rpartition("@")
    return Address(_line(name)[:100], user, domain)


def _address(text: str) -> str:
    """As it goes over the wire: the host in ASCII."""
    try:
        user, _, host = normal_email(text).rpartition("@")
        return f"{user}@{host if host.isascii() else idna.encode(host, uts46=True).decode()}"
    except (InvalidEmail, idna.IDNAError):
        raise NotAnAddress(text) from None


def _line(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
