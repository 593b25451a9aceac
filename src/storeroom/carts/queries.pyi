# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from storeroom.carts.model import Cart, CartLine, CartStatus, LockedCart, Offer, Place
from storeroom.database.executor import Executor

async def cart(db: Executor, /, *, tenant_id: str, id: UUID) -> Cart | None: ...
async def active_of_user(db: Executor, /, *, tenant_id: str, user_id: UUID) -> Cart | None: ...
async def active_of_session(db: Executor, /, *, tenant_id: str, session_id: UUID) -> Cart | None: ...
async def active_of_anonymous(db: Executor, /, *, tenant_id: str, anonymous_id: str) -> Cart | None: ...
async def abandoned(
    db: Executor, /, *, tenant_id: str, before_at: datetime | None = None, before_id: UUID | None, rows: int
) -> list[Cart]: ...
async def lock_user(db: Executor, /, *, tenant_id: str, user_id: UUID) -> UUID | None: ...
async def lock_carts(db: Executor, /, *, tenant_id: str, ids: Sequence[UUID]) -> list[LockedCart]: ...
async def add_user_cart(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    user_id: UUID,
    utm_source: str | None,
    utm_medium: str | None,
    utm_campaign: str | None,
    referrer_url: str | None,
) -> UUID | None: ...
async def add_guest_cart(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    session_id: UUID,
    utm_source: str | None,
    utm_medium: str | None,
    utm_campaign: str | None,
    referrer_url: str | None,
) -> UUID | None: ...
async def session_exists(db: Executor, /, *, tenant_id: str, session_id: UUID) -> bool: ...
async def offer(
    db: Executor, /, *, tenant_id: str, variant_id: UUID | None = None, sku: str | None = None
) -> Offer | None: ...
async def place(
    db: Executor,
    /,
    *,
    tenant_id: str,
    cart_id: UUID,
    variant_id: UUID,
    patch_type: str | None,
    print_name: str | None,
    print_number: str | None,
) -> Place: ...
async def add_line(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    cart_id: UUID,
    product_id: UUID,
    variant_id: UUID,
    quantity: int,
    unit_price: int,
    patch_enabled: bool,
    patch_type: str | None,
    print_name: str | None,
    print_number: str | None,
) -> UUID: ...
async def set_line(db: Executor, /, *, tenant_id: str, cart_id: UUID, id: UUID, quantity: int) -> int: ...
async def remove_line(db: Executor, /, *, tenant_id: str, cart_id: UUID, id: UUID) -> int: ...
async def lines(db: Executor, /, *, tenant_id: str, cart_id: UUID, id: UUID | None = None) -> list[CartLine]: ...
async def retotal(db: Executor, /, *, tenant_id: str, id: UUID) -> None: ...
async def reprice(
    db: Executor, /, *, tenant_id: str, cart_id: UUID, ids: Sequence[UUID], prices: Sequence[int]
) -> None: ...
async def set_shipping(
    db: Executor, /, *, tenant_id: str, id: UUID, address_id: UUID | None, method: str | None
) -> None: ...
async def country_of(db: Executor, /, *, tenant_id: str, id: UUID, user_id: UUID) -> str | None: ...
async def rate_for(
    db: Executor, /, *, tenant_id: str, currency: str, method: str | None = None, country: str | None = None
) -> str | None: ...
async def adopt(db: Executor, /, *, tenant_id: str, id: UUID, user_id: UUID) -> None: ...
async def add_up_lines(
    db: Executor, /, *, tenant_id: str, guest_id: UUID, into_id: UUID, quantity_max: int
) -> None: ...
async def drop_added_lines(db: Executor, /, *, tenant_id: str, guest_id: UUID, into_id: UUID) -> None: ...
async def move_lines(db: Executor, /, *, tenant_id: str, guest_id: UUID, into_id: UUID, lines_max: int) -> None: ...
async def mark_merged(
    db: Executor, /, *, tenant_id: str, id: UUID, into_id: UUID, sources: Sequence[CartStatus]
) -> int: ...
async def mark_abandoned(
    db: Executor, /, *, tenant_id: str, ids: Sequence[UUID], sources: Sequence[CartStatus]
) -> int: ...
async def idle(db: Executor, /, *, tenant_id: str, rows: int) -> list[UUID]: ...
async def lock_idle(db: Executor, /, *, tenant_id: str, ids: Sequence[UUID]) -> list[UUID]: ...
async def tenants_with_idle(db: Executor, /, *, rows: int) -> list[str]: ...
