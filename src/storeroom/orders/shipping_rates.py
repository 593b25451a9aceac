"""What shipping costs: the rates that a checkout chooses from."""

from collections.abc import Sequence
from uuid import UUID

from storeroom.audit import audited
from storeroom.core.contact import normal_country
from storeroom.core.ids import new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional
from storeroom.orders import queries
from storeroom.orders.errors import InvalidShippingRate, ShippingRateNotFound, ShippingRateTaken
from storeroom.orders.model import RATE_AMOUNT_MAX, RATES_MAX, ShippingRate

CODE_LENGTH_MAX = 100
COUNTRIES_MAX = 250
POSITION_MAX = 100_000


class ShippingRates(Service):
    """The shipping rates of one tenant."""

    @operation
    async def list(self, *, active: bool | None = None) -> "list[ShippingRate]":
        """All of them, in the order in which a checkout tries them."""
        return await queries.shipping_rates(self.db, tenant_id=self.tenant_id, is_active=active, size=RATES_MAX)

    @operation
    async def get(self, *, rate_id: UUID) -> ShippingRate:
        """One rate. Raises ShippingRateNotFound."""
        rate = await queries.shipping_rate(self.db, tenant_id=self.tenant_id, rate_id=rate_id)
        if rate is None:
            raise ShippingRateNotFound(rate=str(rate_id))
        return rate

    @audited("orders.create_shipping_rate", "shipping_rate")
    @transactional
    async def create(
        self,
        *,
        code: str,
        name: str,
        amount: Money,
        countries: Sequence[str] | None = None,
        free_from: Money | None = None,
        active: bool = True,
        position: int = 0,
    ) -> ShippingRate:
        """Add a rate.

        Args:
            code: what a checkout names; one of a tenant has it.
            name: for people.
            amount: in the tenant's currency.
            countries: where it goes, ISO 3166-1; None is everywhere.
            free_from: a subtotal of this or more ships free.
            active: whether a checkout may choose it.
            position: smaller ones are tried first.

        Raises:
            InvalidShippingRate: something is out of its bounds.
            CurrencyMismatch: an amount is in another currency than the tenant's.
            ShippingRateTaken: the code is in use.
        """
        await self._check(code, name, amount, free_from, position)
        if len(await self.list()) >= RATES_MAX:
            raise InvalidShippingRate(field="code", reason=f"a shop has at most {RATES_MAX} rates")
        with violations({"shipping_rates_code_unique": lambda: ShippingRateTaken(rate=code)}, self.db.names):
            return await queries.insert_shipping_rate(
                self.db,
                tenant_id=self.tenant_id,
                rate_id=new_id(),
                code=code.strip(),
                name=name.strip(),
                amount=amount.amount,
                currency=amount.currency,
                countries=_countries(countries),
                free_from_amount=free_from.amount if free_from is not None else None,
                is_active=active,
                position=position,
            )

    @audited("orders.update_shipping_rate", "shipping_rate", "rate_id")
    @transactional
    async def update(
        self,
        *,
        rate_id: UUID,
        code: str,
        name: str,
        amount: Money,
        countries: Sequence[str] | None = None,
        free_from: Money | None = None,
        active: bool = True,
        position: int = 0,
    ) -> ShippingRate:
        """Replace a rate; orders placed keep what they paid. See `create`; also raises ShippingRateNotFound."""
        await self._check(code, name, amount, free_from, position)
        with violations({"shipping_rates_code_unique": lambda: ShippingRateTaken(rate=code)}, self.db.names):
            rate = await queries.update_shipping_rate(
                self.db,
                tenant_id=self.tenant_id,
                rate_id=rate_id,
                code=code.strip(),
                name=name.strip(),
                amount=amount.amount,
                currency=amount.currency,
                countries=_countries(countries),
                free_from_amount=free_from.amount if free_from is not None else None,
                is_active=active,
                position=position,
            )
        if rate is None:
            raise ShippingRateNotFound(rate=str(rate_id))
        return rate

    @audited("orders.delete_shipping_rate", "shipping_rate", "rate_id")
    @operation
    async def delete(self, *, rate_id: UUID) -> None:
        """Remove a rate. Raises ShippingRateNotFound."""
        if not await queries.delete_shipping_rate(self.db, tenant_id=self.tenant_id, rate_id=rate_id):
            raise ShippingRateNotFound(rate=str(rate_id))

    async def _check(self, code: str, name: str, amount: Money, free_from: Money | None, position: int) -> None:
        for field, text in (("code", code), ("name", name)):
            if not 1 <= len(text.strip()) <= CODE_LENGTH_MAX or "\x00" in text:
                raise InvalidShippingRate(field=field, reason=f"1 to {CODE_LENGTH_MAX} characters")
        currency = (await self.context.settings()).currency
        for field, money in (("amount", amount), ("free_from", free_from)):
            if money is None:
                continue
            if money.currency != currency:
                raise CurrencyMismatch(expected=currency, actual=money.currency, field=field)
            if not 0 <= money.amount <= RATE_AMOUNT_MAX:
                raise InvalidShippingRate(field=field, reason=f"0 to {RATE_AMOUNT_MAX}")
        if not 0 <= position <= POSITION_MAX:
            raise InvalidShippingRate(field="position", reason=f"0 to {POSITION_MAX}")


def _countries(codes: Sequence[str] | None) -> "list[str] | None":
    if codes is None:
        return None
    if not 1 <= len(codes) <= COUNTRIES_MAX:
        raise InvalidShippingRate(field="countries", reason=f"1 to {COUNTRIES_MAX}, or none for everywhere")
    return sorted({normal_country(code, field="countries") for code in codes})
