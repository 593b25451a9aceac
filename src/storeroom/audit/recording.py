"""Writing the trail: a decorator for the operations of staff, and a function for jobs."""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from storeroom.audit import queries
from storeroom.audit.model import EMAIL_LENGTH_MAX, REQUEST_ID_LENGTH_MAX, SECRET, USER_AGENT_LENGTH_MAX, changed, shown
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import new_id
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import (
    ActorKind,
    Context,
    Service,
    TenantSuspended,
    TenantUnknown,
    transactional,
)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Service)

AUDITED: Final = "audited"  # the attribute of an operation that says under which action it is recorded

Hidden: TypeAlias = Sequence[str] | Callable[[Mapping[str, Any]], Sequence[str]]

_log: Final = logging.getLogger(__name__)
_UNEXPECTED: Final = "unexpected: something else went wrong; the log has it under the request id"
_Row = Callable[..., Awaitable[dict[str, Any] | None]]


async def _payment(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None:  # noqa: A002 - as the others
    await queries.lock_order_of(db, tenant_id=tenant_id, payment_id=id)
    return await queries.payment(db, tenant_id=tenant_id, id=id)


# What is looked at before and after. A resource without a row here keeps what was asked for alone.
_ROWS: Final[Mapping[str, _Row]] = {
    "address": queries.address,
    "batch": queries.batch,
    "category": queries.category,
    "order": queries.order,
    "payment": _payment,
    "payment_method": queries.payment_method,
    "product": queries.product,
    "profile": queries.profile,
    "shipping_rate": queries.shipping_rate,
    "stock": queries.stock,
    "user": queries.user,
    "variant": queries.variant,
}


async def record(
    db: Executor,
    context: Context,
    *,
    action: str,
    resource_type: str,
    resource_id: UUID | None = None,
    old_values: Mapping[str, Any] | None = None,
    new_values: Mapping[str, Any] | None = None,
    error_message: str | None = None,
) -> None:
    """Write one entry, for what no decorator can tell: a job's batch, a command.

    Args:
        db: the transaction of the change; the entry commits or is undone with it.
        context: whose tenant, and who acts.
        action: slice and verb, as in `orders.ship`.
        resource_type: what it was done to, as in `order`.
        resource_id: its id, where there is one.
        old_values: before. Secrets and personal data are taken out here.
        new_values: after, or what was asked for.
        error_message: why nothing was done; None for what succeeded.
    """
    actor = context.actor
    await queries.record(
        db,
        tenant_id=context.tenant_id,
        id=new_id(),
        actor_kind=actor.kind,
        user_id=actor.user_id,
        user_email=(actor.name or None) and actor.name[:EMAIL_LENGTH_MAX],
        user_role=actor.role,
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        old_values=shown(context.tenant_id, resource_type, old_values) if old_values else None,
        new_values=shown(context.tenant_id, resource_type, new_values) if new_values else None,
        ip_address=context.ip,
        user_agent=context.user_agent and context.user_agent[:USER_AGENT_LENGTH_MAX],
        request_id=context.request_id and context.request_id[:REQUEST_ID_LENGTH_MAX],
        error_message=error_message,
    )


def audited(
    action: str, resource_type: str, key: str | None = None, *, rows: str | None = None, hidden: Hidden = ()
) -> Callable[
    [Callable[Concatenate[S, P], Awaitable[R]]],
    Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
]:
    """An operation of staff or of the system: each call leaves one entry, a refused one too.

        @audited("inventory.adjust", "stock", "variant_id")
        @transactional
        async def adjust(self, *, variant_id: VariantId, by: int, reason: str) -> StockMovement: ...

    The entry of what succeeded is written in the transaction of the change; that of what was refused by itself, after
    the rollback. Operations that this one calls leave none, since this one is what was asked for. In a transaction of
    the caller's a refusal leaves none either: the caller may still go on. What customers do for themselves is not
    recorded here, and costs nothing.

    Args:
        action: slice and verb.
        resource_type: what is changed. The row of this name in the table above is read before and after, and the entry
            has the columns that differ.
        key: the argument that is the resource's id; without it the result's `id` is.
        rows: another row than that of the resource type.
        hidden: arguments that may hold secrets, or what tells them by the others: the entry has the names of their
            fields alone.
    """

    def decorate(
        method: Callable[Concatenate[S, P], Awaitable[R]],
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
        signature = inspect.signature(method)
        row = _ROWS.get(rows or resource_type)

        @transactional
        async def told(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            asked = _asked(signature, args, kwargs, hidden)
            resource_id = _uuid(asked.get(key)) if key is not None else None
            tenant_id = self.tenant_id
            before = await row(self.db, tenant_id=tenant_id, id=resource_id) if row and resource_id else None
            quiet = self.bound(self.db)
            quiet.context = msgspec.structs.replace(quiet.context, audited=True)
            result = await method(quiet, *args, **kwargs)
            made = _uuid(getattr(result, "id", None))
            resource_id = resource_id or made
            after = await row(self.db, tenant_id=tenant_id, id=resource_id) if row and resource_id else None
            old, new = changed(before, after)
            await record(
                self.db,
                self.context,
                action=action,
                resource_type=resource_type,
                resource_id=resource_id,
                old_values=old,
                new_values={**_plain(asked), **({"made_id": str(made)} if made and made != resource_id else {}), **new},
            )
            return result

        @wraps(method)
        async def recorded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if self.context.audited or self.context.actor.kind is ActorKind.CUSTOMER:
                return await method(self, *args, **kwargs)
            if isinstance(self.db, Transaction):
                return await told(self, *args, **kwargs)
            try:
                return await told(self, *args, **kwargs)
            except (TenantUnknown, TenantSuspended):
                raise  # nothing was tried
            except Exception as error:
                asked = _asked(signature, args, kwargs, hidden)
                await record_refusal(
                    self.context,
                    error,
                    action=action,
                    resource_type=resource_type,
                    resource_id=_uuid(asked.get(key or "")),
                    asked=asked,
                )
                raise

        setattr(recorded, AUDITED, action)
        return recorded

    return decorate


@asynccontextmanager
async def refusals(
    context: Context, *, action: str, resource_type: str, resource_id: UUID | None = None
) -> AsyncIterator[None]:
    """Around what is asked before the transaction of an audited change, such as a password: a refusal leaves its entry.

    As with `audited`, what customers ask for leaves none, nor does what is asked in a transaction of the caller's.
    """
    try:
        yield
    except (TenantUnknown, TenantSuspended):
        raise
    except Exception as error:
        silent = context.audited or context.actor.kind is ActorKind.CUSTOMER or isinstance(context.db, Transaction)
        if not silent:
            await record_refusal(
                context, error, action=action, resource_type=resource_type, resource_id=resource_id, asked={}
            )
        raise


async def record_refusal(
    context: Context,
    error: Exception,
    *,
    action: str,
    resource_type: str,
    resource_id: UUID | None,
    asked: Mapping[str, Any],
) -> None:
    """Write the entry of what was refused, in no transaction of a change; what fails here is logged, never raised."""
    try:
        await record(
            context.db,
            context,
            action=action,
            resource_type=resource_type,
            resource_id=resource_id,
            new_values=_plain(asked),
            error_message=_why(error),
        )
    except Exception:  # noqa: BLE001 - whoever called has to hear the first error
        _log.exception("a refusal of %s could not be recorded", action)


def _why(error: Exception) -> str:
    """Code and meaning, not the text: that may name a person."""
    if not isinstance(error, StoreroomError):
        return _UNEXPECTED
    meaning = (type(error).__doc__ or "").strip().partition("\n")[0]
    return f"{error.code}: {meaning}" if meaning else error.code


def _asked(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], hidden: Hidden = ()
) -> dict[str, Any]:
    """The arguments by name, without those that were left out; fields that a call gathers stand among them."""
    try:
        given = signature.bind_partial(None, *args, **kwargs).arguments
    except TypeError:  # the call itself will say so
        return {}
    asked: dict[str, Any] = {}
    for name, value in list(given.items())[1:]:
        gathered = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        asked.update(value if gathered else {name: value})
    for name in hidden(asked) if callable(hidden) else hidden:
        if asked.get(name) is not None:
            asked[name] = sorted(map(str, asked[name])) if isinstance(asked[name], Mapping) else SECRET
    return {name: value for name, value in asked.items() if value is not None and value is not msgspec.UNSET}


def _plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(asked, enc_hook=str, str_keys=True)
    return plain


def _uuid(value: object) -> UUID | None:
    return value if isinstance(value, UUID) else None
