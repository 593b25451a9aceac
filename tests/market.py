"""A fresh tenant with stock and carts, and short ways to bring the rest of the rows into being."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from factories import own_text
from storeroom.carts import Cart, Carts, Visitor
from storeroom.core.ids import AddressId, CartId, ProductId, SessionId, TenantId, UserId, VariantId, new_id
from storeroom.database.executor import Executor
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, Context
from storeroom.inventory import Inventory
from storeroom.tenants import Tenants


@dataclass
class Market:
    """One tenant's inventory and carts, and what a test wants to know of the tables behind them."""

    db: Database
    context: Context
    products: dict[VariantId, ProductId] = field(default_factory=dict)

    @classmethod
    async def open(
        cls, db: Database, *, currency: str = "USD", actor: Actor = SYSTEM, tenant_id: str | None = None
    ) -> Market:
        tenants = Tenants(db)
        tenant_id = tenant_id or f"t_{secrets.token_hex(6)}"
        await tenants.create(tenant_id, name="A shop", currency=currency)
        return cls(db, Context(db=db, tenant_id=TenantId(tenant_id), tenants=tenants.cache, actor=actor))

    @property
    def tenant_id(self) -> TenantId:
        return self.context.tenant_id

    @property
    def inventory(self) -> Inventory:
        return Inventory(self.context)

    @property
    def carts(self) -> Carts:
        return Carts(self.context)

    def on(self, tx: Executor) -> Market:
        """The same in a transaction."""
        return Market(self.db, self.context.on(tx), self.products)

    def acting(self, actor: Actor) -> Market:
        return Market(self.db, msgspec.structs.replace(self.context, actor=actor), self.products)

    async def run(self, sql: str, *args: object) -> str:
        return await self.context.db.execute(self.db.names.render(sql), self.tenant_id, *args)

    async def one(self, sql: str, *args: object) -> Any:
        return await self.context.db.fetchval(self.db.names.render(sql), self.tenant_id, *args)

    async def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.context.db.fetch(self.db.names.render(sql), self.tenant_id, *args)]

    async def variant(
        self,
        *,
        stock: int | None = 10,
        price: int = 1000,
        policy: str = "deny",
        backorder_limit: int | None = None,
        threshold: int = 10,
        product_id: ProductId | None = None,
        digital: bool = False,
        sku: str | None = None,
    ) -> VariantId:
        """A published variant; `stock=None` leaves it without a stock row."""
        variant_id = VariantId(new_id())
        if product_id is None:
            product_id = ProductId(new_id())
            await self.run(
                "INSERT INTO {products} (tenant_id, id, name, slug, product_type, status, published_at, currency, "
                "is_digital, requires_age_verification) "
                "VALUES ($1, $2, 'Shirt', $3, 'accessory', 'active', now(), 'USD', $4, FALSE)",
                product_id,
                secrets.token_hex(6),
                digital,
            )
        await self.run(
            "INSERT INTO {product_variants} (tenant_id, id, product_id, sku, title, options, price, "
            "currency, stock_policy, backorder_limit, low_stock_threshold) "
            "VALUES ($1, $2, $3, $4, 'Large', $5, $6, 'USD', $7, $8, $9)",
            variant_id,
            product_id,
            sku or f"SKU-{own_text()}",
            {"Size": own_text()},
            price,
            policy,
            backorder_limit,
            threshold,
        )
        if stock is not None:
            await self.run(
                "INSERT INTO {stock_levels} (tenant_id, variant_id, on_hand) VALUES ($1, $2, $3)", variant_id, stock
            )
        self.products[variant_id] = product_id
        return variant_id

    async def user(self) -> UserId:
        user_id = UserId(new_id())
        await self.run(
            "INSERT INTO {users} (tenant_id, id, email, status) VALUES ($1, $2, $3, 'active')",
            user_id,
            f"{secrets.token_hex(6)}@buyer.example",
        )
        return user_id

    async def session(self) -> SessionId:
        session_id = SessionId(new_id())
        await self.run(
            "INSERT INTO {auth_sessions} (tenant_id, id, anonymous_id, refresh_token_hash, expires_at) "
            "VALUES ($1, $2, $3, $4, now() + INTERVAL '1 day')",
            session_id,
            f"visitor-{secrets.token_hex(4)}",
            secrets.token_hex(16),
        )
        return session_id

    async def address(self, user_id: UserId, country: str = "US") -> AddressId:
        address_id = AddressId(new_id())
        await self.run(
            "INSERT INTO {user_addresses} (tenant_id, id, user_id, recipient_name, street_line_1, "
            "city, state_province, postal_code, country_code) "
            "VALUES ($1, $2, $3, 'Bo', '1 Main St', 'Town', 'TX', '78701', $4)",
            address_id,
            user_id,
            country,
        )
        return address_id

    async def rate(
        self,
        code: str,
        amount: int,
        *,
        countries: list[str] | None = None,
        free_from: int | None = None,
        position: int = 0,
    ) -> None:
        await self.run(
            "INSERT INTO {shipping_rates} (tenant_id, id, code, name, amount, currency, countries, free_from_amount, "
            "position) VALUES ($1, $2, $3, $3, $4, 'USD', $5, $6, $7)",
            new_id(),
            code,
            amount,
            countries,
            free_from,
            position,
        )

    async def coupon(self, code: str = "SAVE", *, off: int | None = None, **columns: Any) -> UUID:
        """A coupon of 10 percent, or of `off` cents, for everybody, as often as they like, unless it is said otherwise."""
        coupon_id = new_id()
        listed = columns.get("product_ids") is not None
        facts: dict[str, Any] = {
            "id": coupon_id,
            "code": code,
            "name": code.title(),
            "discount_type": "percentage" if off is None else "fixed",
            "percentage": 10 if off is None else None,
            "amount": off,
            "currency": "USD",
            "scope": "specific" if listed else "all",
            "applies_at": "catalog" if listed else "checkout",
            "usage_limit_per_user": None,
            **columns,
        }
        names, places = ", ".join(facts), ", ".join(f"${place}" for place in range(2, len(facts) + 2))
        await self.run(f"INSERT INTO {{coupons}} (tenant_id, {names}) VALUES ($1, {places})", *facts.values())
        return coupon_id

    async def uses(self, code: str = "SAVE") -> tuple[int, int]:
        """How often a coupon was used, by its counter and by its redemptions that were not given back."""
        (row,) = await self.rows(
            "SELECT c.usage_count, (SELECT count(*) FROM {coupon_redemptions} r WHERE r.tenant_id = $1 "
            "AND r.coupon_id = c.id AND r.released_at IS NULL) FROM {coupons} c WHERE c.tenant_id = $1 AND c.code = $2",
            code,
        )
        return row[0], row[1]

    async def guest_cart(self) -> Cart:
        return await self.carts.create(visitor=Visitor(session_id=await self.session()))

    async def user_cart(self) -> Cart:
        return await self.carts.create(visitor=Visitor(user_id=await self.user()))

    async def stock(self, variant_id: VariantId) -> tuple[int, int]:
        """On hand and reserved, as the table has them."""
        (row,) = await self.rows(
            "SELECT on_hand, reserved FROM {stock_levels} WHERE tenant_id = $1 AND variant_id = $2", variant_id
        )
        return row[0], row[1]

    async def reservations(self, variant_id: VariantId) -> dict[str, int]:
        """How many there are in each status."""
        rows = await self.rows(
            "SELECT status, count(*) FROM {inventory_reservations} "
            "WHERE tenant_id = $1 AND variant_id = $2 GROUP BY status",
            variant_id,
        )
        return {row[0]: row[1] for row in rows}

    async def let_expire(self, reservation_id: UUID) -> None:
        """Date a reservation back, so that its time is up."""
        await self.run(
            "UPDATE {inventory_reservations} SET expires_at = now() - INTERVAL '1 second' "
            "WHERE tenant_id = $1 AND id = $2",
            reservation_id,
        )

    async def contents(self, cart_id: CartId) -> dict[VariantId, int]:
        """Units by variant, over all lines."""
        rows = await self.rows(
            "SELECT variant_id, sum(quantity)::int FROM {cart_items} "
            "WHERE tenant_id = $1 AND cart_id = $2 GROUP BY variant_id",
            cart_id,
        )
        return {VariantId(row[0]): row[1] for row in rows}

    async def statuses(self) -> list[str]:
        """Of all carts, sorted."""
        return sorted(row[0] for row in await self.rows("SELECT status FROM {carts} WHERE tenant_id = $1"))
