"""What people without an account try, kept whatever comes of it, and refused when it fails too often."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from storeroom.core.errors import StoreroomError, Unavailable
from storeroom.core.ids import new_id
from storeroom.core.pages import decode_cursor, page_of, page_size
from storeroom.database.ensured import Ensured
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import Service, operation
from storeroom.guests import queries
from storeroom.guests.errors import TooManyAttempts
from storeroom.guests.model import (
    EMAIL_LENGTH_MAX,
    FAILURE_WINDOW,
    FAILURES_MAX,
    MESSAGE_LENGTH_MAX,
    PAGE_MAX,
    REFERENCE_LENGTH_MAX,
    USER_AGENT_LENGTH_MAX,
    AttemptsFound,
    GuestAttempt,
    GuestMethod,
    map_guest_attempt,
)

ensure_guest_user_audits = Ensured("domains", "guest_user_audits")

_log: Final = logging.getLogger(__name__)


class GuestAttempts(Service):
    """The attempts of one shop's guests. Rows are written outside of the caller's transaction: they stay."""

    @asynccontextmanager
    async def watched(
        self,
        method: GuestMethod,
        *,
        email: str | None = None,
        phone: str | None = None,
        order_reference: str | None = None,
        host: str | None = None,
    ) -> AsyncIterator[None]:
        """Let the body try: nothing raised is a success, an error of ours a failure, and each leaves a row.

        After FAILURES_MAX failures by one method in FAILURE_WINDOW the mail address, the phone or the order is refused
        before the body runs, and that leaves a row too. Attempts at the same moment see the failures before them, not
        each other: what has to hold against those as well is counted by a limiter first.

        Args:
            method: by what they try.
            email: of the person who tries, where it is said.
            phone: E.164 digits.
            order_reference: the order's number as it was said.
            host: where they try; its domain is noted.

        Raises:
            TooManyAttempts: see above.
        """
        recorded = partial(
            self.record, method=method, email=email, phone=phone, order_reference=order_reference, host=host
        )
        try:
            await self._throttle(method, email=email, phone=phone, order_reference=order_reference)
            yield
        except Unavailable:
            raise  # nothing was tried
        except StoreroomError as error:
            try:
                await recorded(success=False, message=str(error), failure_code=error.code)
            except Exception:  # noqa: BLE001 - whoever called has to hear the first error
                _log.exception("a failed %s could not be recorded", method)
            raise
        await recorded(success=True)

    @operation
    async def record(
        self,
        *,
        method: GuestMethod,
        success: bool,
        email: str | None = None,
        phone: str | None = None,
        order_reference: str | None = None,
        message: str | None = None,
        failure_code: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        host: str | None = None,
    ) -> GuestAttempt:
        """Write one attempt, in a transaction of its own: it stays when the caller's is undone.

        Args:
            method: by what it was tried.
            success: whether it was right.
            email: kept without blanks around it and in lower case.
            phone: E.164 digits.
            order_reference: as it was said.
            message: what the person was told, without secrets.
            failure_code: of the error; None for a success.
            metadata: what else is worth keeping; no secrets.
            host: where; the active domain of that name is noted, if there is one.
        """
        await ensure_guest_user_audits(self.db)
        row = await queries.insert_attempt(
            self._apart(),
            tenant_id=self.tenant_id,
            id=new_id(),
            email=_email(email),
            phone=_tidy(phone, REFERENCE_LENGTH_MAX),
            order_reference=_tidy(order_reference, REFERENCE_LENGTH_MAX),
            verification_method=method,
            success=success,
            message=_tidy(message, MESSAGE_LENGTH_MAX),
            failure_code=None if success else failure_code,
            metadata=dict(metadata or {}),
            ip_address=self.context.ip,
            user_agent=_tidy(self.context.user_agent, USER_AGENT_LENGTH_MAX),
            host=host.strip().rstrip(".").lower() if host else None,
        )
        return map_guest_attempt(row)

    @operation
    async def list(
        self,
        *,
        email: str | None = None,
        success: bool | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> AttemptsFound:
        """Attempts, newest first, and how many there are in all.

        Args:
            email: a part of the mail address, in any case.
            success: only right ones, or only wrong ones.
            cursor: of the page before.
            limit: rows on the page; more than PAGE_MAX are PAGE_MAX.

        Raises:
            InvalidCursor, InvalidPageSize: a cursor of another list, or fewer than one row.
        """
        await ensure_guest_user_audits(self.db)
        size = page_size(min(limit, PAGE_MAX) if limit is not None else None)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        part = _email(email)
        rows = await queries.attempts_newest(
            self.db,
            tenant_id=self.tenant_id,
            email_part=part,
            success=success,
            before_at=before_at,
            before_id=before_id,
            rows=size + 1,
        )
        page = page_of([map_guest_attempt(row) for row in rows], size, lambda attempt: (attempt.created_at, attempt.id))
        total = await queries.attempts_counted(self.db, tenant_id=self.tenant_id, email_part=part, success=success)
        return AttemptsFound(items=page.items, next_cursor=page.next_cursor, total=total)

    async def _throttle(
        self, method: GuestMethod, *, email: str | None, phone: str | None, order_reference: str | None
    ) -> None:
        await ensure_guest_user_audits(self.db)
        left_s = await queries.blocked_for_s(
            self._apart(),
            tenant_id=self.tenant_id,
            email=_email(email),
            phone=_tidy(phone, REFERENCE_LENGTH_MAX),
            order_reference=_tidy(order_reference, REFERENCE_LENGTH_MAX),
            verification_method=method,
            window=FAILURE_WINDOW,
            failures_max=FAILURES_MAX,
        )
        if left_s is not None:
            raise TooManyAttempts(retry_after_s=max(1, left_s))

    def _apart(self) -> Executor:
        """Outside of the caller's transaction, whose rollback must not take the row along."""
        return self.db.database if isinstance(self.db, Transaction) else self.db


def _email(text: str | None) -> str | None:
    tidy = _tidy(text, EMAIL_LENGTH_MAX)
    return (tidy.lower()[:EMAIL_LENGTH_MAX].strip() or None) if tidy else None


def _tidy(text: str | None, length_max: int) -> str | None:
    """Without blanks around it and what the database refuses, cut to its column; None for nothing."""
    return (text.replace("\0", "").strip()[:length_max].strip() or None) if text else None
