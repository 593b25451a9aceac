"""Stock over HTTP, for staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.catalog import StockPolicy, VariantNotFound
from storeroom.core.ids import VariantId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.inventory.errors import InvalidPolicy, InvalidQuantity, ReasonRequired, StockOutOfRange
from storeroom.inventory.model import REASON_LENGTH_MAX, UNITS_MAX, MovementKind, StockLevel, StockMovement
from storeroom.inventory.service import Inventory
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

Reason = Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX, examples=["two broken in transit"])]
WRITE: Final = "inventory.write"


class StockView(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one variant there is."""

    variant_id: UUID
    product_id: UUID
    sku: str | None
    policy: StockPolicy
    backorder_limit: int | None
    low_stock_threshold: int
    on_hand: int
    reserved: int
    available: int  # on hand less reserved


class MovementView(msgspec.Struct, frozen=True, kw_only=True):
    """One change of what is on the shelf."""

    id: UUID
    variant_id: UUID
    kind: MovementKind
    quantity: int
    on_hand_after: int
    reason: str | None
    order_id: UUID | None
    actor_kind: str
    actor_id: UUID | None
    created_at: datetime


class Adjustment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units found or lost, and why."""

    by: Annotated[int, Meta(ge=-UNITS_MAX, le=UNITS_MAX, examples=[-2])]
    reason: Reason


class StockCount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many there are."""

    on_hand: Annotated[int, Meta(ge=0, le=UNITS_MAX, examples=[40])]
    reason: Reason | None = None


class PolicyChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens when more is asked for than is there."""

    policy: StockPolicy
    backorder_limit: Annotated[int, Meta(ge=0, le=UNITS_MAX)] | None = None


@get(
    "/v1/admin/stock",
    summary="The stock of all variants",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(InvalidCursor),
)
async def list_stock(
    inventory: NamedDependency[Inventory], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[StockView]:
    """In the order of their ids."""
    return _page(await inventory.levels(cursor=cursor, limit=limit))


@get(
    "/v1/admin/stock/low",
    summary="Variants that run low",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(InvalidCursor),
)
async def list_low_stock(
    inventory: NamedDependency[Inventory], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[StockView]:
    """Tracked variants of which no more are available than their threshold."""
    return _page(await inventory.low_stock(cursor=cursor, limit=limit))


@get(
    "/v1/admin/stock/oversold",
    summary="Variants that are promised more often than they are there",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(InvalidCursor),
)
async def list_oversold(
    inventory: NamedDependency[Inventory], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[StockView]:
    """After a count or an adjustment that found too few."""
    return _page(await inventory.oversold(cursor=cursor, limit=limit))


@get(
    "/v1/admin/stock/{variant_id:uuid}",
    summary="The stock of one variant",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(VariantNotFound),
)
async def get_stock(variant_id: FromPath[UUID], inventory: NamedDependency[Inventory]) -> StockView:
    """On hand, reserved, available."""
    return _stock(await inventory.level(variant_id=VariantId(variant_id)))


@post(
    "/v1/admin/stock/{variant_id:uuid}/adjustments",
    summary="Add units, or take some off",
    tags=["admin"],
    guards=[requires(WRITE)],
    opt=IDEMPOTENT,
    responses=says(VariantNotFound, InvalidQuantity, ReasonRequired, StockOutOfRange),
)
async def adjust_stock(
    variant_id: FromPath[UUID], data: JSONBody[Adjustment], inventory: NamedDependency[Inventory]
) -> MovementView:
    """Leaves a movement with the reason and whoever is signed in."""
    moved = await inventory.adjust(variant_id=VariantId(variant_id), by=data.by, reason=data.reason)
    return _movement(moved)


@post(
    "/v1/admin/stock/{variant_id:uuid}/counts",
    summary="Say how many there are",
    tags=["admin"],
    guards=[requires(WRITE)],
    opt=IDEMPOTENT,
    responses=says(VariantNotFound, InvalidQuantity, ReasonRequired),
)
async def count_stock(
    variant_id: FromPath[UUID], data: JSONBody[StockCount], inventory: NamedDependency[Inventory]
) -> MovementView:
    """May be fewer than are promised; the list of oversold variants then has it."""
    moved = await inventory.count(variant_id=VariantId(variant_id), on_hand=data.on_hand, reason=data.reason)
    return _movement(moved)


@get(
    "/v1/admin/stock/{variant_id:uuid}/movements",
    summary="Why there are as many as there are",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(VariantNotFound, InvalidCursor),
)
async def list_movements(
    variant_id: FromPath[UUID],
    inventory: NamedDependency[Inventory],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[MovementView]:
    """Newest first."""
    page = await inventory.movements(variant_id=VariantId(variant_id), cursor=cursor, limit=limit)
    return Page([_movement(movement) for movement in page.items], page.next_cursor)


@put(
    "/v1/admin/stock/{variant_id:uuid}/policy",
    summary="Choose what happens when none are left",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(VariantNotFound, InvalidPolicy),
)
async def set_stock_policy(
    variant_id: FromPath[UUID], data: JSONBody[PolicyChoice], inventory: NamedDependency[Inventory]
) -> StockView:
    """Deny, backorder down to a limit or without one, or do not track at all."""
    level = await inventory.set_policy(
        variant_id=VariantId(variant_id), policy=data.policy, backorder_limit=data.backorder_limit
    )
    return _stock(level)


def _page(page: Page[StockLevel]) -> Page[StockView]:
    return Page([_stock(level) for level in page.items], page.next_cursor)


def _stock(level: StockLevel) -> StockView:
    return StockView(
        variant_id=level.variant_id,
        product_id=level.product_id,
        sku=level.sku,
        policy=level.stock_policy,
        backorder_limit=level.backorder_limit,
        low_stock_threshold=level.low_stock_threshold,
        on_hand=level.on_hand,
        reserved=level.reserved,
        available=level.available,
    )


def _movement(movement: StockMovement) -> MovementView:
    return MovementView(
        id=movement.id,
        variant_id=movement.variant_id,
        kind=movement.kind,
        quantity=movement.quantity,
        on_hand_after=movement.on_hand_after,
        reason=movement.reason,
        order_id=movement.order_id,
        actor_kind=movement.actor_kind,
        actor_id=movement.actor_id,
        created_at=movement.created_at,
    )


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_stock,
    list_low_stock,
    list_oversold,
    get_stock,
    adjust_stock,
    count_stock,
    list_movements,
    set_stock_policy,
)
