"""What the domains say about reminders, and which carts are kept for their owners."""

from collections.abc import Sequence
from typing import Self
from uuid import UUID

from typing_extensions import override

from storeroom.audit import audited
from storeroom.core.contact import normal_email
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import CartId, DomainId, OrderId, TenantId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.database.ensured import Ensured
from storeroom.database.errors import violations
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.domains import DomainNotFound, Domains
from storeroom.identity import TokenKeys
from storeroom.retention import queries
from storeroom.retention.errors import CartReminderNotFound, InvalidRetainCart
from storeroom.retention.links import reminder_of
from storeroom.retention.model import (
    BCC_MAX,
    CART_REMINDER_MOVES,
    RETRIES_DEFAULT,
    RETRIES_MAX,
    RETRY_TIME_DEFAULT_S,
    RETRY_TIME_MAX_S,
    CartReminder,
    CartReminderStatus,
    KeptCart,
    KeptLine,
    RetainCartConfig,
    RetainCartRules,
    map_retain_cart_config,
)

ensure_retain_cart_configs = Ensured("domains", "retain_cart_configs")


class CartReminders(Service):
    """The reminders of one shop."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no link can be read."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    @operation
    async def config(self, *, domain_id: DomainId | None) -> RetainCartConfig | None:
        """What a domain says; without one, what is said for carts of no known domain. None: nothing, see `rules`.

        Raises:
            DomainNotFound: the shop has no such domain.
        """
        await ensure_retain_cart_configs(self.db)
        row = await queries.config(self.db, tenant_id=self.tenant_id, domain_id=domain_id)
        if row is None and domain_id is not None:
            await Domains(self.context.on(self.db)).get(domain_id=domain_id)
        return map_retain_cart_config(row) if row is not None else None

    @operation
    async def rules(self, *, domain_id: DomainId | None) -> RetainCartRules:
        """What holds for the carts of a domain: two hours, one reminder and no copy, where nothing else was said.

        Raises:
            DomainNotFound: the shop has no such domain.
        """
        found = await self.config(domain_id=domain_id)
        if found is None:
            return RetainCartRules()
        return RetainCartRules(
            retry_time_seconds=found.retry_time_seconds,
            max_retries=found.max_retries,
            bcc_emails=found.bcc_emails,
            reminds=found.is_active,
            configured=True,
        )

    @audited("retention.configure", "retain_cart_config")
    @transactional
    async def upsert(
        self,
        *,
        domain_id: DomainId | None,
        retry_time_seconds: int = RETRY_TIME_DEFAULT_S,
        max_retries: int = RETRIES_DEFAULT,
        bcc_emails: Sequence[str] = (),
        is_active: bool = True,
    ) -> RetainCartConfig:
        """Say how a domain reminds, in the place of what it said before. It counts at once, for waiting carts as well.

        Args:
            domain_id: the site; None: for carts of no known one.
            retry_time_seconds: after a payment failed, a cart was left, or the last reminder; to RETRY_TIME_MAX_S.
            max_retries: reminders of one cart, to RETRIES_MAX; 0: none.
            bcc_emails: who gets a copy, unseen by the buyer; BCC_MAX at most.
            is_active: False: nobody is reminded.

        Raises:
            InvalidRetainCart: something is out of its bounds. Nothing was written.
            DomainNotFound: the shop has no such domain.
        """
        await ensure_retain_cart_configs(self.db)
        for field, value, most in (
            ("retry_time_seconds", retry_time_seconds, RETRY_TIME_MAX_S),
            ("max_retries", max_retries, RETRIES_MAX),
        ):
            if not 0 <= value <= most:
                raise InvalidRetainCart(field=field, reason=f"0 to {most}")
        if len(bcc_emails) > BCC_MAX:
            raise InvalidRetainCart(field="bcc_emails", reason=f"at most {BCC_MAX} addresses")
        try:
            copies = list(dict.fromkeys(normal_email(each, field="bcc_emails") for each in bcc_emails))
        except StoreroomError as error:
            raise InvalidRetainCart(field="bcc_emails", reason=str(error)) from error
        refused = {"retain_cart_configs_domain_fkey": lambda: DomainNotFound(domain_id=domain_id or UUID(int=0))}
        with violations(refused, self.db.names):
            row = await queries.put_config(
                self.db,
                tenant_id=self.tenant_id,
                id=new_id(),
                domain_id=domain_id,
                retry_time_seconds=retry_time_seconds,
                max_retries=max_retries,
                bcc_emails=copies,
                is_active=is_active,
            )
        return map_retain_cart_config(row)

    @operation
    async def list(
        self, *, status: CartReminderStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[CartReminder]:
        """Carts that are or were kept for their owners, the newest first."""
        size = page_size(limit)
        before = decode_cursor(cursor, (UUID,))[0] if cursor is not None else None
        rows = await queries.reminders_page(
            self.db, tenant_id=self.tenant_id, status=status, before=before, rows=size + 1
        )
        return page_of(rows, size, lambda reminder: (reminder.id,))

    # --- What the link in a mail leads to -----------------------------------------------------------------------------

    @operation
    async def named(self, *, token: str) -> tuple[KeptCart, Sequence[KeptLine]]:
        """The cart that a link names, with its lines. Raises CartReminderNotFound."""
        reminder_id = reminder_of(self._keys, token, tenant_id=self.tenant_id, now=self.context.clock.now())
        kept = await queries.kept(self.db, tenant_id=self.tenant_id, id=reminder_id)
        if kept is None:  # the cart went with its session
            raise CartReminderNotFound(reminder_id=reminder_id)
        return kept, await queries.kept_lines(self.db, tenant_id=self.tenant_id, cart_id=kept.cart_id)

    @transactional
    async def finish(self, *, reminder_id: UUID, status: CartReminderStatus) -> bool:
        """Remind of it no more; False where it had ended."""
        return bool(await finish(self.db, tenant_id=self.tenant_id, ids=[reminder_id], status=status))


async def finish(tx: Executor, *, tenant_id: TenantId, ids: Sequence[UUID], status: CartReminderStatus) -> int:
    """End some that wait, in the caller's transaction; return how many it were."""
    allowed = sources(CART_REMINDER_MOVES, status)
    return await queries.finish(tx, tenant_id=tenant_id, ids=ids, status=status, sources=allowed)


async def keep_order_cart(tx: Executor, *, tenant_id: str, order_id: OrderId) -> None:
    """A payment of the order has failed or expired: keep its cart, in the transaction of that change."""
    await queries.keep_order_cart(tx, tenant_id=tenant_id, id=new_id(), order_id=order_id)


async def keep_carts(tx: Executor, *, tenant_id: str, cart_ids: Sequence[CartId]) -> int:
    """Keep carts that were left; return of how many the owner may be written to."""
    ids = [new_id() for _ in cart_ids]
    return await queries.keep_carts(tx, tenant_id=tenant_id, ids=ids, cart_ids=cart_ids) if ids else 0
