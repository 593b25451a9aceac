"""Carriers of mail and of text messages. Without a server or a gateway both write files that a person can read."""

import time
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Final

import msgspec
from typing_extensions import override

from storeroom.core.ids import TenantId
from storeroom.core.senders import Mailbox, SmsGateway
from storeroom.integration import Claimed, Courier, DestinationRefused, InvalidWebhook, NoAnswer, Outcome
from storeroom.messaging import options
from storeroom.messaging.bureau import Bureau, NotSent, Ready, hidden
from storeroom.messaging.mime import Letter, NotAnAddress, copy_letter, letter
from storeroom.messaging.smtp import NotTaken, Smtp
from storeroom.notices import Channel, NoticeFolder

TOLD_MAX: Final = 500
SMS_WITHIN: Final = timedelta(seconds=30)
HOPELESS: Final = frozenset({400, 410, 413, 414, 422})  # of a gateway: it is this message that is wrong
UNSUBSCRIBE: Final = "stop_link"  # a fact


class _Carrier(ABC):
    """What both do."""

    event_types: frozenset[str] = frozenset()  # queued by name
    keeps_order = False
    in_flight_max = 2

    def __init__(self, bureau: Bureau, folder: NoticeFolder) -> None:
        self._bureau, self._folder = bureau, folder

    async def wants(self, tenant_id: TenantId) -> bool:
        """Nothing is fanned out to it."""
        return bool(tenant_id)

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        """Send one, or say why not."""
        began = time.monotonic()
        try:
            ready = await self._bureau.ready(tenant_id, row)
        except NotSent as reason:
            if reason.unwanted:
                return Outcome(duration_ms=_since(began), response_body=f"not sent: {reason.told}")
            return Outcome(duration_ms=_since(began), error=reason.told, final=reason.final)
        outcome = await self._send(ready, row, began)
        return msgspec.structs.replace(
            outcome,
            error=None if outcome.error is None else hidden(outcome.error, ready.notice)[:TOLD_MAX],
            response_body=None
            if outcome.response_body is None
            else hidden(outcome.response_body, ready.notice)[:TOLD_MAX],
        )

    @abstractmethod
    async def _send(self, ready: Ready, row: Claimed, began: float) -> Outcome: ...

    async def _write(self, ready: Ready, row: Claimed, began: float) -> Outcome:
        words = {"subject": ready.words.subject} if ready.words.subject else {}
        words["text"] = ready.words.text
        try:
            await self._folder.keep(ready.notice, words, notice_id=row.id, at=row.created_at)
        except OSError as error:
            return Outcome(duration_ms=_since(began), error=f"the folder of notices: {type(error).__name__}")
        return Outcome(duration_ms=_since(began), response_body="written to the folder of notices")


class MailCarrier(_Carrier):
    """Brings mail to a server."""

    destination = Channel.MAIL.value

    def __init__(
        self, bureau: Bureau, folder: NoticeFolder, smtp: Smtp | None = None, sender: Mailbox | None = None
    ) -> None:
        """Without a server, into the folder.

        Args:
            bureau: opens and words notices.
            folder: of notices.
            smtp: the server; closed with the carrier.
            sender: of the installation: who the server knows.
        """
        super().__init__(bureau, folder)
        self._smtp, self._sender = smtp, sender

    async def close(self) -> None:
        """Leave the server."""
        if self._smtp is not None:
            await self._smtp.close()

    @override
    async def _send(self, ready: Ready, row: Claimed, began: float) -> Outcome:
        if self._smtp is None or self._sender is None:
            return await self._write(ready, row, began)
        bureau, notice = self._bureau, ready.notice
        more = await bureau.value(ready.configuration, options.COPIES[notice.kind]) if ready.kind.switchable else ()
        copies = (*notice.bcc, *more)
        # What opens something for whoever has it is the receiver's alone: a copy goes by itself then, and without it.
        public = await bureau.copied(ready) if copies else ready
        author = await bureau.author(ready, self._sender)
        try:
            mail = letter(
                message_id=row.id,
                at=row.created_at,
                to=notice.to,
                words=ready.words,
                envelope=self._sender,
                author=author,
                reply_to=await bureau.value(ready.configuration, options.REPLY_TO),
                bcc=copies if public is ready else (),
                unsubscribe=notice.facts.get(UNSUBSCRIBE),
            )
            copy = None
            if public is not ready:
                copy = copy_letter(
                    message_id=row.id,
                    at=row.created_at,
                    to=notice.to,
                    words=public.words,
                    envelope=self._sender,
                    author=author,
                    bcc=copies,
                )
        except NotAnAddress:
            return Outcome(duration_ms=_since(began), error="nobody can get a mail there", final=True)
        try:
            said = await self._smtp.send(mail)
        except NotTaken as refused:
            return Outcome(
                duration_ms=_since(began), error=refused.told, final=refused.final, response_status=refused.status
            )
        if copy is not None:
            said += await self._copied(self._smtp, copy, began)
        return Outcome(duration_ms=_since(began), response_status=250, response_body=said)

    async def _copied(self, smtp: Smtp, copy: Letter, since_s: float) -> str:
        """What is to be told of it. The mail was taken: it is not sent again for the sake of a copy."""
        try:
            await smtp.send(copy, since_s=since_s)
        except NotTaken as refused:
            return f"; the copy was not taken: {refused.told}"
        return ""


class SmsCarrier(_Carrier):
    """Brings text messages to a gateway."""

    destination = Channel.SMS.value

    def __init__(
        self, bureau: Bureau, folder: NoticeFolder, courier: Courier | None = None, gateway: SmsGateway | None = None
    ) -> None:
        """Without a gateway, into the folder.

        Args:
            bureau: opens and words notices.
            folder: of notices.
            courier: carries the request; a gateway in a network of the operator's own has to be allowed there.
            gateway: how it is asked.
        """
        super().__init__(bureau, folder)
        self._courier, self._gateway = courier, gateway

    @override
    async def _send(self, ready: Ready, row: Claimed, began: float) -> Outcome:
        if self._gateway is None or self._courier is None:
            return await self._write(ready, row, began)
        try:
            asked = self._gateway.request(to=ready.notice.to, text=ready.words.text, message_id=str(row.id))
        except ValueError as error:
            return Outcome(duration_ms=_since(began), error=f"the gateway's template: {error}")
        try:
            answer = await self._courier.ask(
                asked.method, asked.url, body=asked.body or b"", headers=asked.headers, within=SMS_WITHIN
            )
        except (NoAnswer, DestinationRefused, InvalidWebhook) as error:
            return Outcome(duration_ms=_since(began), error=str(error))
        # A gateway may repeat the message in its answer, in whatever writing: none of it is kept.
        taken = 200 <= answer.status < 300
        return Outcome(
            duration_ms=answer.duration_ms,
            error=None if taken else f"answered {answer.status}: not taken",
            final=answer.status in HOPELESS,
            response_status=answer.status,
        )


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
