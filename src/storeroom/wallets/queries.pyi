# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.wallets.model import CartQuote, Obstacle, PaymentTransaction, QuoteOutcome, ReceivingAccount, Recording

async def record_payment(
    db: Executor,
    /,
    *,
    tenant_id: str,
    signature: str,
    resource_id: str,
    wallet: str,
    amount: int,
    asset: str,
    account: str,
    metadata: Any,
) -> Recording: ...
async def record_vouched(
    db: Executor,
    /,
    *,
    tenant_id: str,
    signature: str,
    resource_id: str,
    wallet: str,
    amount: int,
    asset: str,
    metadata: Any,
) -> Recording: ...
async def record_payments(db: Executor, /, *, tenant_id: str, payments: Any) -> list[Obstacle]: ...
async def signature_known(db: Executor, /, *, tenant_id: str, signature: str) -> bool: ...
async def transaction_of(db: Executor, /, *, tenant_id: str, signature: str) -> PaymentTransaction | None: ...
async def transactions_listed(
    db: Executor,
    /,
    *,
    tenant_id: str,
    wallet: str | None = None,
    resource_id: str | None = None,
    before_at: datetime | None = None,
    before_signature: str | None,
    size: int,
) -> list[PaymentTransaction]: ...
async def archive_transactions(db: Executor, /, *, tenant_id: str, before: datetime, size: int) -> int: ...
async def tenants_to_archive(db: Executor, /, *, before: datetime, due: datetime, size: int) -> list[str]: ...
async def claim_archival(db: Executor, /, *, tenant_id: str, started_at: datetime, due: datetime) -> int: ...
async def accounts(
    db: Executor, /, *, tenant_id: str, asset: str | None = None, is_active: bool | None = None, size: int
) -> list[ReceivingAccount]: ...
async def account(db: Executor, /, *, tenant_id: str, account_id: UUID) -> ReceivingAccount | None: ...
async def insert_account(
    db: Executor, /, *, tenant_id: str, account_id: UUID, asset: str, address: str, label: str
) -> ReceivingAccount | None: ...
async def update_account(
    db: Executor, /, *, tenant_id: str, account_id: UUID, label: str, is_active: bool
) -> ReceivingAccount | None: ...
async def save_quote(
    db: Executor,
    /,
    *,
    tenant_id: str,
    quote_id: str,
    items: Any,
    total_amount: int,
    total_asset: str,
    metadata: Any,
    cart_id: UUID | None,
    expires_at: datetime | None,
    life: timedelta,
) -> CartQuote | None: ...
async def save_quotes(db: Executor, /, *, tenant_id: str, quotes: Any, life: timedelta) -> int: ...
async def paid_quotes(db: Executor, /, *, tenant_id: str, quote_ids: Sequence[str]) -> list[str]: ...
async def quotes(db: Executor, /, *, tenant_id: str, quote_ids: Sequence[str]) -> list[CartQuote]: ...
async def quotes_listed(
    db: Executor, /, *, tenant_id: str, before_at: datetime | None = None, before_id: str | None, size: int
) -> list[CartQuote]: ...
async def quotes_lapsed(
    db: Executor, /, *, tenant_id: str, after_at: datetime | None = None, after_id: str | None, size: int
) -> list[CartQuote]: ...
async def mark_quote_paid(db: Executor, /, *, tenant_id: str, quote_id: str, wallet: str) -> QuoteOutcome: ...
async def wallet_paid(db: Executor, /, *, tenant_id: str, quote_id: str, wallet: str) -> bool: ...
async def tenants_with_lapsed(db: Executor, /, *, kept: timedelta, size: int) -> list[str]: ...
async def remove_lapsed(db: Executor, /, *, tenant_id: str, kept: timedelta, size: int) -> int: ...
