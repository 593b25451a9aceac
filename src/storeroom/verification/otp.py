"""Codes by phone: asked for, sent, and tried a few times at most."""

from typing import Final, Self
from uuid import UUID, uuid4

from typing_extensions import override

from storeroom.core.contact import normal_phone
from storeroom.core.ids import new_id
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.guests import GuestAttempts, GuestMethod
from storeroom.identity import TokenKeys, Users
from storeroom.notices import Channel, Notice, Notices, Post
from storeroom.tenants import settings_of
from storeroom.verification import hashing, queries
from storeroom.verification.errors import CodeRefused, PhoneProofRequired, TooManyCodes
from storeroom.verification.model import (
    CODE_ATTEMPTS_MAX,
    CODE_DIGITS,
    CODE_LIFETIME,
    CODE_REQUESTS_MAX,
    CODE_WINDOW,
    PROOF_LIFETIME,
    CodeSent,
    PhoneProof,
)

_SENT: Final = "phone_code"  # the kind of the notice


class PhoneCodes(Service):
    """Whether somebody has a phone: a code is sent there, and they say it."""

    def __init__(self, context: Context, keys: TokenKeys | None = None, notices: Notices | None = None) -> None:
        """Without keys, messages go to the folder of notices.

        Args:
            context: see Service.
            keys: seal a message in the queue.
            notices: sends it after the commit, instead of the queue.
        """
        super().__init__(context)
        self._keys = keys or TokenKeys(None)
        self._notices = notices
        self._post = Post(self._keys, notices)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys, self._notices)

    async def request(self, *, phone: str) -> CodeSent:
        """Send a code of CODE_DIGITS digits to a phone; it counts for CODE_LIFETIME, and replaces the one before.

        The same answer for every number, whether or not an account has it. The message is queued with the code.

        Args:
            phone: a mobile, in the customs of the tenant's country or with its country code.

        Raises:
            InvalidPhone: nobody can receive a message there.
            TooManyCodes: CODE_REQUESTS_MAX were asked for within CODE_WINDOW.
            CodesBusy: too many at once.
        """
        region = (await settings_of(self.context)).country_code
        return await self._send(normal_phone(phone, region, mobile=True))

    async def resend(self, *, session_id: UUID) -> CodeSent:
        """Send another code to the phone of an earlier request, which ends with it.

        Raises:
            CodeRefused: no such request, or it was replaced or forgotten.
            TooManyCodes, CodesBusy: as for `request`.
        """
        await self.context.settings()
        phone = await queries.phone_of_session(self.db, tenant_id=self.tenant_id, session_id=session_id)
        if phone is None:
            raise CodeRefused
        return await self._send(phone)

    async def verify(self, *, session_id: UUID, code: str, host: str | None = None) -> PhoneProof:
        """Try a code; the account with that number, if there is one, has a verified phone then.

        Every try is counted before it is tested, in a transaction of its own, so many at once are no more than
        CODE_ATTEMPTS_MAX. Give this none of yours: an error would take the count back. Every try is also kept among the
        attempts of guests, and a phone that was tried wrongly too often waits, however many codes it is sent.

        Raises:
            CodeRefused: not the code; or it was used, replaced, is too old, or was tried too often.
            CodesBusy: too many at once; it counts as a try.
            TooManyAttempts: see above.
        """
        await self.context.settings()
        phone = await queries.phone_of_session(self.db, tenant_id=self.tenant_id, session_id=session_id)
        async with GuestAttempts(self.context).watched(GuestMethod.PHONE_CODE, phone=phone, host=host):
            return await self._tried(session_id, code)

    @operation
    async def require(self, *, session_id: UUID | None, phone: str) -> None:
        """Pass who proved to have this phone with that session, PROOF_LIFETIME ago at most.

        Args:
            session_id: None: nothing was proven.
            phone: E.164 digits.

        Raises:
            PhoneProofRequired: not, or not any more.
        """
        if session_id is None or not await queries.proven(
            self.db, tenant_id=self.tenant_id, session_id=session_id, phone=phone
        ):
            raise PhoneProofRequired

    async def _tried(self, session_id: UUID, code: str) -> PhoneProof:
        if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
            code = ""  # counts like any other wrong one
        opened = await queries.take_try(
            self.db, tenant_id=self.tenant_id, session_id=session_id, attempts_max=CODE_ATTEMPTS_MAX
        )
        if opened is None or not await hashing.verified(opened.otp_hash, code):
            raise CodeRefused
        return await self._verified(opened.id, session_id, opened.phone)

    async def _send(self, phone: str) -> CodeSent:
        code = hashing.new_code()
        sent, notice = await self._replace(phone, code, await hashing.hashed(code))
        await self._post.after(notice)
        return sent

    @transactional
    async def _replace(self, phone: str, code: str, otp_hash: str) -> tuple[CodeSent, Notice | None]:
        now = self.context.clock.now()
        counted = await queries.count_request(
            self.db,
            tenant_id=self.tenant_id,
            phone=phone,
            asked_at=now,
            window_ends_at=now + CODE_WINDOW,
            requests_max=CODE_REQUESTS_MAX,
        )
        if counted is None:
            ends_at = await queries.window_end(self.db, tenant_id=self.tenant_id, phone=phone)
            left_s = (ends_at - now).total_seconds() if ends_at is not None else 0
            raise TooManyCodes(retry_after_s=max(1, round(left_s)))
        await queries.forget_codes(self.db, tenant_id=self.tenant_id, phone=phone)
        session_id = uuid4()  # random to its last bit, where an id of ours says when it was made
        code_id = new_id()
        expires_at = await queries.insert_code(
            self.db,
            tenant_id=self.tenant_id,
            id=code_id,
            session_id=session_id,
            phone=phone,
            otp_hash=otp_hash,
            lifetime=CODE_LIFETIME,
        )
        notice = Notice(
            tenant_id=self.tenant_id,
            kind=_SENT,
            channel=Channel.SMS,
            to=phone,
            facts={"code": code, "minutes": int(CODE_LIFETIME.total_seconds() // 60)},
            expires_at=expires_at,
        )
        left = await self._post.within(self.db, notice, entity_type=_SENT, entity_id=code_id)
        return CodeSent(session_id=session_id, expires_at=expires_at), left

    @transactional
    async def _verified(self, code_id: UUID, session_id: UUID, phone: str) -> PhoneProof:
        expires_at = await queries.mark_verified(
            self.db, tenant_id=self.tenant_id, id=code_id, proof_lifetime=PROOF_LIFETIME
        )
        if expires_at is None:
            raise CodeRefused
        await Users(self.context).phone_proven(phone=phone)
        return PhoneProof(session_id=session_id, phone=phone, expires_at=expires_at)
