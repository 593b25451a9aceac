"""What tests of payments from wallets share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from factories import open_shop
from storeroom.core.ids import VariantId
from storeroom.core.money import Money
from storeroom.database.service import SYSTEM
from storeroom.flows.wallet_payments import VerifiedPayment
from storeroom.room import Shop, Storeroom
from storeroom.wallets import CartQuote, NewTransaction, QuoteItem

OURS = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
WALLET = "4Nd1mYvKfZ3wzYz7S8pXkDkq9m1hFq2B3dYt6oR5uA1x"
RIVAL = "7hUdUTkJLwdcmt3jSEeqx4ep91sm1XwBxMDaJae6bD5D"
LARGE = 2**53 + 1  # the first whole number that a float cannot tell from its neighbour


def usdc(amount: int) -> Money:
    return Money(amount, "USDC")


def signature() -> str:
    return f"sig{secrets.token_hex(40)}"


@dataclass
class Purse:
    """A shop as the program that watches the chain sees it."""

    shop: Shop
    staff: Shop
    dsn: str

    async def record(self, **facts: Any) -> Any:
        return await self.shop.transactions.record(**transaction(**facts))

    async def quote(self, *lines: tuple[VariantId, int, int], **facts: Any) -> CartQuote:
        """A quote over (variant, quantity, price)."""
        items = [QuoteItem(variant_id=v, quantity=q, unit_price=usdc(p)) for v, q, p in lines]
        total = usdc(sum(q * p for _, q, p in lines))
        return await self.shop.cart_quotes.save(
            **{"id": f"cart_{secrets.token_hex(16)}", "items": items, "total": total, **facts}
        )

    async def one(self, sql: str, *args: object) -> Any:
        """One value, as the owner of the database sees it; $1 is the tenant."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetchval(sql, self.shop.tenant_id, *args)
        finally:
            await connection.close()

    async def date_back(self, table: str, column: str, by: timedelta, key: str, value: str) -> None:
        await self.one(
            f"UPDATE {table} SET {column} = {column} - $2::interval WHERE tenant_id = $1 AND {key} = $3", by, value
        )

    async def count(self, table: str) -> int:
        goods = " AND entity_type <> 'product'" if table == "webhook_queue" else ""  # told of before anything is paid
        return int(await self.one(f"SELECT count(*) FROM {table} WHERE tenant_id = $1{goods}"))


async def open_purse(room: Storeroom, dsn: str) -> Purse:
    """A fresh tenant with one receiving account for USDC."""
    staff = await open_shop(room)
    await staff.receiving_accounts.create(asset="USDC", address=OURS, label="Main")
    return Purse(staff.acting(actor=SYSTEM), staff, dsn)


def transaction(**facts: Any) -> dict[str, Any]:
    return {
        "signature": signature(),
        "resource_id": "cart:1",
        "wallet": WALLET,
        "amount": usdc(5_000_000),
        "account": OURS,
        **facts,
    }


def new_transaction(**facts: Any) -> NewTransaction:
    return NewTransaction(**transaction(**facts))


def paid(quote: CartQuote | None = None, **facts: Any) -> VerifiedPayment:
    """A verified payment of a quote, or of what `facts` say."""
    if quote is not None:
        facts = {"quote_id": quote.id, "amount": quote.total, **facts}
    return VerifiedPayment(
        **{
            "signature": signature(),
            "wallet": WALLET,
            "account": OURS,
            "email": "bo@buyer.example",
            "name": "Bo Buyer",
            **facts,
        }
    )
