"""What all that has to do with payments on a provider's page begins with: the gateways, the ports to both providers."""

from typing import Self

import msgspec
from typing_extensions import override

from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import Actor, Context, Service
from storeroom.flows.refunding import Followed, Refunding
from storeroom.gateways import GatewayConfig, GatewayKind, Gateways
from storeroom.hosted import (
    API_VERSION,
    MpgsProvider,
    MpgsResult,
    MpgsTransaction,
    NotHosted,
    ProviderDown,
    ProviderMisconfigured,
    StripeProvider,
)
from storeroom.identity import TokenKeys
from storeroom.integration import Courier


class HostedSteps(Service):
    """Shared steps; `HostedPayments` has the operations."""

    def __init__(self, context: Context, keys: TokenKeys | None = None, courier: Courier | None = None) -> None:
        """Without keys no gateway's configuration can be read, and without a courier no provider is asked."""
        super().__init__(context)
        self._keys, self._courier = keys, courier

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys, self._courier)

    @property
    def _gateways(self) -> Gateways:
        return Gateways(self.context, self._keys)

    def _as(self, actor: Actor) -> Self:
        return type(self)(msgspec.structs.replace(self.context, actor=actor), self._keys, self._courier)

    def _outside(self) -> None:
        if isinstance(self.db, Transaction):
            raise TypeError("a provider is called outside of any transaction: call this on the shop itself")

    async def _config(self, gateway_id: str | None, name: str) -> GatewayConfig:
        if gateway_id is None:
            raise NotHosted(reference=name)
        return await self._gateways.config(gateway_id=gateway_id)

    async def _mpgs_result(self, transaction: MpgsTransaction) -> MpgsResult:
        config = await self._config(transaction.gateway_id, transaction.session_id)
        if transaction.order_ref_id is None:
            raise NotHosted(reference=transaction.session_id)
        state = await self._mpgs(config).state(transaction.order_ref_id)
        if state.mpgs is None:
            raise ProviderDown(provider=GatewayKind.MPGS, reason="no order")
        return state.mpgs

    async def _given_back(self, transaction: MpgsTransaction, result: MpgsResult) -> None:
        """Record what the gateway has given back, by the sum that it tells; where it cannot, tell staff."""
        payment_id, back = transaction.settled_payment_id, result.refunded
        if payment_id is None or back is None or back.amount < 1:
            return
        refunding = Refunding(self.context.on(self.db))
        details = {"provider": GatewayKind.MPGS, "order": transaction.order_ref_id}
        followed = await refunding.follow_provider(
            payment_id=payment_id, back=back, reason="refunded at the gateway", details=details
        )
        if followed is Followed.UNDECIDED:
            await refunding.tell_unfollowed(payment_id=payment_id, back=back)

    def _stripe(self, config: GatewayConfig) -> StripeProvider:
        return StripeProvider(
            secret_key=config.secret("secret_key"), base_url=config.endpoint, courier=self._carried_by("stripe")
        )

    def _mpgs(self, config: GatewayConfig) -> MpgsProvider:
        version = config.settings.get("api_version")
        return MpgsProvider(
            merchant_id=config.setting("merchant_id"),
            api_password=config.secret("api_password"),
            base_url=config.endpoint,
            courier=self._carried_by("mpgs"),
            merchant_name=config.setting("merchant_name") or "Shop",
            version=int(version) if version is not None and str(version).isdecimal() else API_VERSION,
        )

    def _carried_by(self, provider: str) -> Courier:
        if self._courier is None:
            raise ProviderMisconfigured(provider=provider, reason="there is no way to ask it from here")
        return self._courier
