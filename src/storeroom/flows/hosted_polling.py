"""The providers, asked what has become of payments on their pages: for staff, and where nobody has told us."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.audit import record
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Context, transactional
from storeroom.flows.hosted_steps import HostedSteps
from storeroom.hosted import (
    MPGS_OPEN,
    Due,
    HostedSessions,
    MpgsResult,
    MpgsStatus,
    MpgsTransaction,
    MpgsTransactions,
    Outcome,
    State,
    StripeSession,
    claim_due,
)
from storeroom.identity import TokenKeys
from storeroom.integration import Courier
from storeroom.tenants import Tenants

POLLED_MAX: Final = 20  # sessions and transactions asked about in one run, all at once
EXPIRY_GRACE: Final = timedelta(minutes=10)  # a buyer who pays in the last second is heard of a little later

_POLLER: Final = Actor(kind=ActorKind.SYSTEM, name="poll_hosted")
_log: Final = logging.getLogger(__name__)


class HostedPolling(HostedSteps):
    """Payments of one shop that a provider is asked about."""

    async def refresh_session(self, *, session_id: str) -> StripeSession:
        """Ask Stripe what has become of a session, and take its word.

        Raises:
            HostedSessionNotFound: no such session.
            NotHosted: it was opened through no gateway of the shop.
            ProviderRefused, ProviderDown, ProviderMisconfigured: of Stripe.
        """
        self._outside()
        await self.context.settings()  # a shop that is suspended leaves no entry
        try:
            session = await HostedSessions(self.context).get(session_id=session_id)
            state = await self._stripe(await self._config(session.gateway_id, session.id)).state(session.id)
            return await self._session_said(session, state)
        except StoreroomError as error:
            await self._refused("hosted.refresh_session", "hosted_session", {"session_id": session_id}, error)
            raise

    async def refresh_transaction(self, *, transaction_id: UUID) -> MpgsTransaction:
        """Ask Mastercard's gateway what has become of a transaction, and take its word.

        One whose buyer had time and never paid is expired, or has failed where a card was declined: until then the page
        is open, and the buyer may try another one. What the gateway has given back is recorded as refunds of the
        payment, see `Refunding.follow_provider`.

        Raises:
            TransactionNotFound: no such transaction.
            NotHosted: it was opened through no gateway of the shop.
            ProviderRefused, ProviderDown, ProviderMisconfigured: of the gateway.
        """
        self._outside()
        await self.context.settings()
        try:
            transaction = await MpgsTransactions(self.context).get(transaction_id=transaction_id)
            return await self._transaction_said(transaction, await self._mpgs_result(transaction))
        except StoreroomError as error:
            asked = {"transaction_id": str(transaction_id)}
            await self._refused("hosted.refresh_transaction", "mpgs_transaction", asked, error)
            raise

    @transactional
    async def _session_said(self, session: StripeSession, state: State) -> StripeSession:
        sessions = HostedSessions(self._quiet())
        match state.outcome:
            case Outcome.PAID:
                session = await sessions.receive(
                    session_id=session.id, received=state.received, payment_intent=state.reference
                )
            case Outcome.PROCESSING:
                session = await sessions.processing(session_id=session.id)
            case Outcome.EXPIRED:
                session = await sessions.expire(session_id=session.id)
            case Outcome.FAILED:
                session = await sessions.expire(session_id=session.id, failed=True)
            case Outcome.OPEN:
                pass
        await self._told("hosted.refresh_session", "hosted_session", None, {"session_id": session.id})
        return session

    @transactional
    async def _transaction_said(self, transaction: MpgsTransaction, result: MpgsResult) -> MpgsTransaction:
        ends = transaction.expires_at
        over = ends is not None and ends + EXPIRY_GRACE <= self.context.clock.now()
        if result.status in (MpgsStatus.INITIATED, MpgsStatus.PENDING) and over:
            result = msgspec.structs.replace(result, status=MpgsStatus.EXPIRED)
        elif result.status is MpgsStatus.FAILED and transaction.payment_status in MPGS_OPEN and ends and not over:
            result = msgspec.structs.replace(result, status=transaction.payment_status, failure_reason=None)
        transaction = await MpgsTransactions(self._quiet()).update(session_id=transaction.session_id, result=result)
        await self._given_back(transaction, result)
        asked = {"transaction_id": str(transaction.id)}
        await self._told("hosted.refresh_transaction", "mpgs_transaction", transaction.id, asked)
        return transaction

    def _quiet(self) -> Context:
        """For what staff ask, which is recorded as a whole; what nobody asked for is recorded by its parts."""
        context = self.context.on(self.db)
        return msgspec.structs.replace(context, audited=True) if self._by_staff else context

    @property
    def _by_staff(self) -> bool:
        return self.context.actor.kind is ActorKind.ADMIN

    async def _told(self, action: str, resource: str, resource_id: UUID | None, asked: Mapping[str, Any]) -> None:
        if self._by_staff:
            await record(
                self.db,
                self.context,
                action=action,
                resource_type=resource,
                resource_id=resource_id,
                new_values=asked,
            )

    async def _refused(self, action: str, resource: str, asked: Mapping[str, Any], error: StoreroomError) -> None:
        if not self._by_staff:
            return
        await record(
            self.db,
            self.context,
            action=action,
            resource_type=resource,
            new_values=asked,
            error_message=f"{error.code}: {(type(error).__doc__ or '').strip().partition(chr(10))[0]}",
        )


async def poll_hosted(db: Database, /, *, keys: TokenKeys, courier: Courier, limit: int = POLLED_MAX) -> int:
    """Ask the providers about what nobody has told us of, all at once; return how many were asked about.

    One that cannot be asked now is asked again later, and keeps the others waiting for its time-out at most.
    """
    tenants, due = Tenants(db).cache, await claim_due(db, limit=limit)

    async def ask(each: Due) -> None:
        context = Context(db=db, tenant_id=TenantId(each.tenant_id), tenants=tenants, actor=_POLLER)
        payments = HostedPolling(context, keys, courier)
        try:
            if each.transaction_id is not None:
                await payments.refresh_transaction(transaction_id=each.transaction_id)
            elif each.session_id is not None:
                await payments.refresh_session(session_id=each.session_id)
        except StoreroomError as error:
            _log.warning("%s could not be asked about: %s", each.session_id or each.transaction_id, error.code)

    async with asyncio.TaskGroup() as tasks:
        for each in due:
            tasks.create_task(ask(each))
    return len(due)
