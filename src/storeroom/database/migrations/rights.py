"""Who may do what in the database: the roles before the first migration, their rights after the last."""

import asyncio
import random
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final, NoReturn

import asyncpg
import msgspec

from storeroom.database.access import CUSTOMER_READS, CUSTOMER_ROLE, CUSTOMER_VIEWS
from storeroom.database.migrations.connection import in_transaction
from storeroom.database.migrations.errors import ExtensionMissing, RolesMissing
from storeroom.database.migrations.files import RUNNERS_OWN, Sources
from storeroom.database.names import TableNames
from storeroom.database.pool import APP_ROLE, RETRY_WAIT_S

OWNER_ROLE: Final = "storeroom_owner"
ROLES: Final = (OWNER_ROLE, APP_ROLE, "storeroom_tenant", CUSTOMER_ROLE)
ROLE_ATTEMPTS_MAX: Final = 20

# The one place that says which rows are history. The service may add to these tables and read them.
APPEND_ONLY: Final = frozenset({
    "audit_logs", "audit_seals", "order_history", "order_status_history", "order_stage_events", "payment_attempts",
    "stock_movements", "payment_signatures", "payment_transactions_archive",
    "store_credit_entries",
    "payment_transactions", "order_discounts", "fulfillment_status_history", "inbox_message_attempts",
    "guest_user_audits", "invoice_audits", "consent_changes", "subscription_history",
})  # fmt: skip
NEVER_DELETED: Final = frozenset({
    "orders", "payments", "refunds", "users", "tenants", "coupons", "coupon_redemptions", "subscriptions",
    "subscription_payments",
})  # fmt: skip
TENANT_READS: Final = frozenset({"tenants"})  # nobody lifts his own suspension


async def make_roles(connection: "asyncpg.Connection[Any]") -> None:
    """The roles of `roles.sql`, which all databases of a server share. Raises RolesMissing."""
    if await connection.fetchval("SELECT current_schema()") is None:
        raise RolesMissing(
            login=await connection.fetchval("SELECT current_user"),
            statements=["CREATE SCHEMA storeroom", "ALTER ROLE CURRENT_USER SET search_path = storeroom"],
            reason="its search_path names no schema that exists",
        )
    text = _text("roles.sql")
    for attempt in range(1, ROLE_ATTEMPTS_MAX + 1):
        try:
            await connection.execute(text)
            break
        except asyncpg.InsufficientPrivilegeError as error:
            await _refuse_roles(connection, str(error))
        except (asyncpg.InternalServerError, asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError) as error:
            # Another database made the role first, or grants the same at this moment ("tuple concurrently updated").
            if isinstance(error, asyncpg.InternalServerError) and "concurrently" not in str(error):
                raise
            if attempt == ROLE_ATTEMPTS_MAX:
                await _refuse_roles(connection, str(error))
            await asyncio.sleep(RETRY_WAIT_S * attempt * (1 + random.random()))  # noqa: S311 - jitter
    # GRANT by one who may not grant is a warning, not an error.
    if not await connection.fetchval(f"SELECT has_schema_privilege('{OWNER_ROLE}', current_schema(), 'CREATE')"):
        await _refuse_roles(connection, f"{OWNER_ROLE} may not make tables in this schema")


async def _refuse_roles(connection: "asyncpg.Connection[Any]", reason: str) -> NoReturn:
    found = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    login = await connection.fetchval("SELECT quote_ident(current_user)")
    schema = await connection.fetchval("SELECT quote_ident(current_schema())")
    raise RolesMissing(
        login=login,
        statements=[
            *(f"CREATE ROLE {role} NOLOGIN" for role in ROLES if role not in found),
            f"GRANT {OWNER_ROLE}, {APP_ROLE} TO {login}",
            f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {OWNER_ROLE}",
            f"GRANT USAGE ON SCHEMA {schema} TO {', '.join(role for role in ROLES if role != OWNER_ROLE)}",
        ],
        reason=reason,
    )


async def make_extension(connection: "asyncpg.Connection[Any]") -> None:
    """What search needs. Raises ExtensionMissing."""
    if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm')"):
        return
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFileError, asyncpg.FeatureNotSupportedError) as error:
        raise ExtensionMissing(reason=str(error)) from error


async def give_access(connection: "asyncpg.Connection[Any]", names: TableNames, sources: Sources) -> None:
    """Grants and policies that `access.sql` finds missing. Raises MigrationBlocked, MigrationFailed."""

    def resolved(logical: Iterable[str]) -> list[str]:
        return sorted(names.resolve(name) for name in logical)

    tables = sources.tables()
    customers = [
        {"name": names.resolve(table), "rule": names.render(own.rule), "columns": own.columns}
        for table, own in sorted(CUSTOMER_READS.items())
        if table in tables and own.needs() <= tables
    ]
    missing = await connection.fetch(
        _text("access.sql"),
        resolved(tables),
        resolved(APPEND_ONLY),
        resolved(NEVER_DELETED),
        resolved(RUNNERS_OWN),
        resolved(TENANT_READS),
        resolved(sources.views()),
        resolved(sources.function_names()),
        msgspec.json.encode(customers).decode(),
        resolved(CUSTOMER_VIEWS & sources.views()),
    )
    if missing:
        sql = ";\n".join(row["statement"] for row in missing)
        async with in_transaction(connection, "access.sql", sql):
            await connection.execute(sql)


@cache
def _text(name: str) -> str:
    return (files("storeroom.database") / name).read_text(encoding="utf-8")
