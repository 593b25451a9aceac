"""What routes need: who calls and for which shop, guards, page parameters, idempotency, limits, problem bodies.

A slice's routes.py parses, calls one operation, renders. It lists its handlers in `route_handlers`; the server mounts
them. Parameters are found by their names:

    @post(
        "/v1/carts/{cart_id:uuid}/items",
        summary="Add to the cart",
        tags=["carts"],
        opt=IDEMPOTENT,
        responses=says(CartNotFound, QuantityRefused),
    )
    async def add_item(
        cart_id: FromPath[UUID],
        data: JSONBody[NewItem],
        visitor: NamedDependency[Visitor],
        carts: NamedDependency[Carts],
    ) -> CartView: ...

    @get("/v1/admin/orders", tags=["admin"], guards=[requires("orders.read")], responses=says())
    async def list_orders(
        orders: NamedDependency[Orders], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
    ) -> Page[OrderView]: ...

    route_handlers: Sequence[ControllerRouterHandler] = (add_item, list_orders)

Services have the names of `Shop`'s attributes (`products`, `carts`, `orders`, `payments`, …) and act in the caller's
name for the caller's shop. From here come `visitor` (VisitorRequired where there is none), `arrival` (a guest is made
where there is none), `principal` (nobody included), `account` (SignInRequired for guests), `call` (request id, address,
host) and `limiter`. Handlers get `from litestar.di import NamedDependency`,
`from litestar.params import FromPath, FromQuery, JSONBody, MultipartBody`.
"""

from storeroom.core.idempotency import (
    IdempotencyAnswerLost,
    IdempotencyClaimLost,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InvalidIdempotencyKey,
)
from storeroom.web.context import (
    COOKIE,
    DEPENDENCIES,
    GUEST,
    AnyRequest,
    Arrival,
    Call,
    Gate,
    NewGuest,
    Principal,
    PrincipalKind,
    attach,
    call_of,
    guest_token,
    read_guest_token,
)
from storeroom.web.errors import (
    ForeignOrigin,
    InvalidRequest,
    InvalidToken,
    MalformedRequest,
    PermissionMissing,
    RateLimited,
    SignInRequired,
    StaffOnly,
    VisitorRequired,
)
from storeroom.web.guards import requires, requires_account, requires_staff
from storeroom.web.idempotency import (
    IDEMPOTENT,
    WITHOUT_KEY,
    Idempotency,
    checked_key,
    delete_idempotency_key,
    get_idempotency_key,
    save_idempotency_key,
    scope_of,
    without_key,
)
from storeroom.web.limits import QUOTA_BLOCKS, Flood, Limiter, Quotas, limit, network
from storeroom.web.model import StoredAnswer
from storeroom.web.paging import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter
from storeroom.web.problems import (
    EXCEPTION_HANDLERS,
    PROBLEM_JSON,
    STATUS_BY_KIND,
    Problem,
    problem,
    rendered,
    says,
    status_of,
    title_of,
)
from storeroom.web.request import StrictRequest

__all__ = [
    "COOKIE",
    "DEPENDENCIES",
    "EXCEPTION_HANDLERS",
    "GUEST",
    "IDEMPOTENT",
    "PAGE_SIZE_DEFAULT",
    "PROBLEM_JSON",
    "QUOTA_BLOCKS",
    "STATUS_BY_KIND",
    "WITHOUT_KEY",
    "AnyRequest",
    "Arrival",
    "Call",
    "CursorParameter",
    "Flood",
    "ForeignOrigin",
    "Gate",
    "Idempotency",
    "IdempotencyAnswerLost",
    "IdempotencyClaimLost",
    "IdempotencyInFlight",
    "IdempotencyKeyReused",
    "InvalidIdempotencyKey",
    "InvalidRequest",
    "InvalidToken",
    "LimitParameter",
    "Limiter",
    "MalformedRequest",
    "NewGuest",
    "PermissionMissing",
    "Principal",
    "PrincipalKind",
    "Problem",
    "Quotas",
    "RateLimited",
    "SignInRequired",
    "StaffOnly",
    "StoredAnswer",
    "StrictRequest",
    "VisitorRequired",
    "attach",
    "call_of",
    "checked_key",
    "delete_idempotency_key",
    "get_idempotency_key",
    "guest_token",
    "limit",
    "network",
    "problem",
    "read_guest_token",
    "rendered",
    "requires",
    "requires_account",
    "requires_staff",
    "save_idempotency_key",
    "says",
    "scope_of",
    "status_of",
    "title_of",
    "without_key",
]
