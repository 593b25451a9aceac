"""The ERP of one shop, for its staff: where it is, how far it has what it should, and sending things once more."""

from typing import Final, Self
from uuid import UUID

from typing_extensions import override

from storeroom import outbox
from storeroom.audit import audited
from storeroom.core.secrets import Secret
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.erp import queries
from storeroom.erp.boundary import DESTINATION, OUTBOUND, SWEPT
from storeroom.erp.carrier import CONNECTORS, opened
from storeroom.erp.errors import ErpEntityNotFound, ErpNotConnected, InvalidErpConnection, OutsideErpBoundary
from storeroom.erp.model import (
    AUTH_NAME_LENGTH_MAX,
    COUNTED_MAX,
    RESYNC_MAX,
    SECRET_LENGTH_MAX,
    TIMEOUT_DEFAULT_S,
    TIMEOUT_MAX_S,
    ConnectionRow,
    ConnectionTest,
    ErpAuth,
    ErpConnection,
    ErpEntity,
    ErpEntityStatus,
    ErpStatus,
    QueueStanding,
    Resync,
)
from storeroom.erp.sealed import PURPOSE, place_of
from storeroom.identity import TokenKeys
from storeroom.integration import OWN_HEADERS, Courier, InvalidWebhook, checked_url

_NEEDS_NAME: Final = frozenset({ErpAuth.BASIC, ErpAuth.HEADER})


class Erp(Service):
    """The connection to the ERP, and what it has of the shop."""

    def __init__(self, context: Context, keys: TokenKeys | None = None, courier: Courier | None = None) -> None:
        """Without keys no credential can be kept or read; without a courier nobody is called."""
        super().__init__(context)
        self._keys, self._courier = keys or TokenKeys(None), courier

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys, self._courier)

    # --- The connection -----------------------------------------------------------------------------------------------

    @audited("erp.connect", "erp_connection", hidden=("credential",))
    @transactional
    async def connect(
        self,
        *,
        base_url: str,
        auth: ErpAuth = ErpAuth.NONE,
        auth_name: str | None = None,
        credential: Secret | str | None = None,
        timeout_seconds: int = TIMEOUT_DEFAULT_S,
        is_active: bool = True,
    ) -> ErpConnection:
        """Say where the ERP is; what was said before is replaced.

        It gets everything it has not got yet, and what has changed since it got it, portion by portion.

        Args:
            base_url: https, or http. Whether it may be called is asked at each call.
            auth: how we say who we are.
            auth_name: the user of basic, the header of header.
            credential: token, password or the header's value; sealed here and never shown. None keeps the one that is
                there, as long as address and kind of authentication stay what they are.
            timeout_seconds: for an answer, 1 to 30.
            is_active: otherwise nothing is sent; what happens meanwhile is sent once it is active again.

        Raises:
            InvalidErpConnection: nothing was written; `field` says why.
            SigningSecretMissing: the installation has no secret to seal with.
        """
        url, auth = _base_url(base_url), ErpAuth(auth)
        if not 1 <= timeout_seconds <= TIMEOUT_MAX_S:
            raise InvalidErpConnection(field="timeout_seconds", reason=f"1 to {TIMEOUT_MAX_S}")
        name = _auth_name(auth, auth_name)
        known = await queries.lock_connection(self.db, tenant_id=self.tenant_id, code=DESTINATION)
        sealed = self._credential(known, url, auth, credential)
        write = queries.update_connection if known is not None else queries.insert_connection
        written = await write(
            self.db,
            tenant_id=self.tenant_id,
            code=DESTINATION,
            base_url=url,
            auth=auth,
            auth_name=name,
            credential=sealed,
            timeout_seconds=timeout_seconds,
            is_active=is_active,
        )
        if not written:  # a rival made it while we looked
            raise InvalidErpConnection(field="base_url", reason="somebody else is connecting an ERP now; try again")
        return _shown(await self._row())

    @operation
    async def connection(self) -> ErpConnection:
        """Where the ERP is. Raises ErpNotConnected."""
        return _shown(await self._row())

    @audited("erp.disconnect", "erp_connection")
    @transactional
    async def disconnect(self) -> None:
        """Forget where the ERP is, and the credential. What was sent stays known by its ids. Raises ErpNotConnected.

        What changes from then on is noted as with an inactive connection, and sent when an ERP is connected again.
        """
        if not await queries.forget_connection(self.db, tenant_id=self.tenant_id, code=DESTINATION):
            raise ErpNotConnected

    async def test(self) -> ConnectionTest:
        """Call the ERP once, `GET {base_url}`, active or not; what comes of it is an answer, never an error.

        Not inside a transaction: it waits for somebody else. Raises ErpNotConnected.
        """
        await self.context.settings()
        row = await self._row()
        credential = opened(self._keys, self.tenant_id, row)
        if self._courier is None:
            raise TypeError("a program that calls an ERP has a courier: open the room")
        outcome = await CONNECTORS[row.kind](self._courier, row, credential).check()
        return ConnectionTest(
            ok=outcome.delivered,
            duration_ms=outcome.duration_ms,
            response_status=outcome.response_status,
            error=outcome.error,
        )

    # --- How far it is ------------------------------------------------------------------------------------------------

    @operation
    async def status(self) -> ErpStatus:
        """Of each kind of entity what the ERP has not got, what waits, what was given up, and when it last got one."""
        queued = {
            each.entity: each
            for each in await queries.queue_standing(self.db, tenant_id=self.tenant_id, destination=DESTINATION)
        }
        entities = []
        for name, outbound in OUTBOUND.items():
            table = await outbound.standing(self.db, tenant_id=self.tenant_id, size=COUNTED_MAX)
            queue = queued.get(name, QueueStanding(entity=name, waiting=0, dead=0))
            entities.append(
                ErpEntityStatus(
                    entity=outbound.entity,
                    sent_as=outbound.sent_as,
                    unsynced=table.unsynced,
                    oldest=table.oldest,
                    to_resync=table.to_resync,
                    waiting=queue.waiting,
                    dead_letters=queue.dead,
                    last_synced_at=table.last_synced_at,
                )
            )
        row = await queries.connection(self.db, tenant_id=self.tenant_id, code=DESTINATION)
        return ErpStatus(connection=None if row is None else _shown(row), entities=entities)

    @audited("erp.resync", "erp", "entity_id")
    @transactional
    async def resync(self, *, entity: ErpEntity, entity_id: UUID) -> Resync:
        """Send one entity once more, or for the first time, as it is now. A record that the ERP has is changed.

        Raises:
            ErpNotConnected: there is no ERP.
            ErpEntityNotFound: the shop has no such thing.
            OutsideErpBoundary: it is not sent as it is now, such as an order that was never paid.
        """
        await self._row()
        outbound = OUTBOUND[entity]
        subject = await outbound.subject(self.db, tenant_id=self.tenant_id, id=entity_id)
        if subject is None:
            raise ErpEntityNotFound(entity=entity, entity_id=entity_id)
        if subject.refusal is not None:
            raise OutsideErpBoundary(entity=entity, entity_id=entity_id, reason=subject.refusal)
        reset = await outbound.table.reset(self.db, tenant_id=self.tenant_id, id=entity_id)
        await outbox.enqueue_missing(
            self.db,
            tenant_id=self.tenant_id,
            destination=DESTINATION,
            event_type=SWEPT,
            entity_type=entity.value,
            entity_ids=[entity_id],
        )
        return Resync(entity=entity, reset=reset, more=False)

    @audited("erp.resync_all", "erp")
    @transactional
    async def resync_all(self, *, entity: ErpEntity) -> Resync:
        """Let all of a kind that the ERP has be sent once more: the worker queues them, portion by portion.

        RESYNC_MAX rows in one call, those that were sent the longest ago first. Raises ErpNotConnected.
        """
        await self._row()
        done = await OUTBOUND[entity].table.reset_some(self.db, tenant_id=self.tenant_id, size=RESYNC_MAX)
        return Resync(entity=entity, reset=done, more=done == RESYNC_MAX)

    # --- Inside -------------------------------------------------------------------------------------------------------

    async def _row(self) -> ConnectionRow:
        found = await queries.connection(self.db, tenant_id=self.tenant_id, code=DESTINATION)
        if found is None:
            raise ErpNotConnected
        return found

    def _credential(
        self, known: ConnectionRow | None, url: str, auth: ErpAuth, given: Secret | str | None
    ) -> str | None:
        """As the row keeps it. Who may set a credential may not read it, so not send it elsewhere either."""
        if auth is ErpAuth.NONE:
            if given is not None:
                raise InvalidErpConnection(field="credential", reason="is not sent without a kind of authentication")
            return None
        if given is None:
            if known is None or known.credential is None or (known.base_url, known.auth) != (url, auth):
                raise InvalidErpConnection(field="credential", reason="missing: a new address takes it anew")
            return known.credential
        text = given.reveal() if isinstance(given, Secret) else given
        if not (1 <= len(text) <= SECRET_LENGTH_MAX and text.isascii() and text.isprintable()):
            raise InvalidErpConnection(field="credential", reason=f"1 to {SECRET_LENGTH_MAX} visible ASCII characters")
        return self._keys.ring(PURPOSE).seal(text.encode(), bound_to=place_of(self.tenant_id, DESTINATION))


def _shown(row: ConnectionRow) -> ErpConnection:
    return ErpConnection(
        code=row.code,
        kind=row.kind,
        base_url=row.base_url,
        auth=row.auth,
        auth_name=row.auth_name,
        has_credential=row.credential is not None,
        timeout_seconds=row.timeout_seconds,
        is_active=row.is_active,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _base_url(text: str) -> str:
    try:
        parts = checked_url(text)
    except InvalidWebhook as error:
        raise InvalidErpConnection(field="base_url", reason=error.reason) from None
    if parts.query:
        raise InvalidErpConnection(field="base_url", reason="has no query; the entity's name follows it")
    return text.rstrip("/")


def _auth_name(auth: ErpAuth, name: str | None) -> str | None:
    if auth not in _NEEDS_NAME:
        if name is not None:
            raise InvalidErpConnection(field="auth_name", reason="belongs to basic and header alone")
        return None
    if not name or len(name) > AUTH_NAME_LENGTH_MAX or not name.isascii() or not name.isprintable():
        raise InvalidErpConnection(field="auth_name", reason=f"1 to {AUTH_NAME_LENGTH_MAX} visible ASCII characters")
    if auth is ErpAuth.BASIC and ":" in name:
        raise InvalidErpConnection(field="auth_name", reason="a user's name has no colon")
    if auth is ErpAuth.HEADER and not all(c.isalnum() or c in "-_" for c in name):
        raise InvalidErpConnection(field="auth_name", reason="a header's name has letters, digits, '-' and '_'")
    if auth is ErpAuth.HEADER and name.lower() in {*OWN_HEADERS, "idempotency-key"}:
        raise InvalidErpConnection(field="auth_name", reason="is a header of ours")
    return name
