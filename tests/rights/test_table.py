"""Every route with everybody who may stand at the door, against the table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from door import Door, but, code_of
from litestar import Litestar
from litestar.routes import HTTPRoute
from table import RIGHTS, TABLE

from storeroom.access import PEOPLE_ONLY
from storeroom.identity import Permission, UserRole

PERMISSIONS = [Permission(right) for right in RIGHTS if "." in right and " " not in right]
# Bodies are read before visitors are looked for, so these need one that can be read; everything else gets {}.
BODIES = {
    "POST /v1/carts/{cart_id}/coupon": {"code": "SAVE"},
    "PATCH /v1/carts/{cart_id}/items/{item_id}": {"quantity": 1},
    "POST /v1/events": [{}],
    "PUT /v1/conversion-consent": {"consents": True},
}
Refusal = tuple[int, str] | None  # None: let in
INVALID = (401, "auth.invalid_token")
VISITOR = (401, "auth.visitor_required")
SIGN_IN = (401, "auth.sign_in_required")
STAFF = (403, "auth.staff_only")
MISSING = (403, "auth.permission_missing")


@dataclass(frozen=True)
class Caller:
    """Somebody with a token, and what the rights of the table say to them."""

    token: Callable[[Door], Awaitable[str | None]]
    arrival: Refusal = None
    visitor: Refusal = None
    account: Refusal = None
    permission: Refusal = None  # to every permission but those in `has`
    has: frozenset[str] = frozenset()
    only: str = ""  # routes whose right holds this; the others do not tell this caller from another

    def refusal(self, right: str) -> Refusal:
        if right == "anyone":
            return None
        if "." in right:
            return None if self.has.issuperset(right.split()) else self.permission
        return getattr(self, right)  # type: ignore[no-any-return]


def account(role: UserRole, *permissions: Permission) -> Callable[[Door], Awaitable[str]]:
    return lambda door: door.token_of(role, *permissions)


def key(*permissions: Permission) -> Callable[[Door], Awaitable[str]]:
    return lambda door: door.key(*permissions)


async def nobody(_: Door) -> None:
    return None


EVERYTHING = frozenset(Permission)
FOR_KEYS = [permission for permission in Permission if permission not in PEOPLE_ONLY]
CALLERS = {
    "nobody": Caller(nobody, visitor=VISITOR, account=SIGN_IN, permission=SIGN_IN),
    "guest": Caller(Door.guest, account=SIGN_IN, permission=SIGN_IN),
    "customer": Caller(account(UserRole.CUSTOMER), permission=STAFF),
    "wholesale": Caller(account(UserRole.WHOLESALE), permission=STAFF),
    "staff without a permission": Caller(account(UserRole.STAFF), permission=MISSING),
    "admin": Caller(account(UserRole.ADMIN), has=EVERYTHING),
    "super_admin": Caller(account(UserRole.SUPER_ADMIN), has=EVERYTHING),
    **{
        f"staff with {permission}": Caller(
            account(UserRole.STAFF, permission), permission=MISSING, has=frozenset({permission}), only="."
        )
        for permission in PERMISSIONS
    },
    **{
        f"staff with all but {permission}": Caller(
            account(UserRole.STAFF, *but(permission)),
            permission=MISSING,
            has=EVERYTHING - {permission},
            only=permission,
        )
        for permission in PERMISSIONS
    },
    **{
        f"key with {permission}": Caller(
            key(permission), VISITOR, VISITOR, SIGN_IN, permission=MISSING, has=frozenset({permission}), only="."
        )
        for permission in PERMISSIONS
        if permission not in PEOPLE_ONLY
    },
    "key with all that a key may": Caller(
        key(*FOR_KEYS), VISITOR, VISITOR, SIGN_IN, permission=MISSING, has=frozenset(FOR_KEYS)
    ),
}


def routes(app: Litestar) -> Iterator[str]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method in route.route_handler_map:
                if method != "OPTIONS":
                    yield f"{method} {route.path_format}"


def test_every_route_is_in_the_table(rights_app: Litestar) -> None:
    assert sorted(routes(rights_app)) == sorted(TABLE)
    assert len(TABLE) == sum(len(lines.strip().splitlines()) for lines in RIGHTS.values()), "a route stands twice"
    assert set(PERMISSIONS) == set(Permission), "a permission that no route asks for"


@pytest.mark.requirement("STO-USR-03")
@pytest.mark.parametrize("who", CALLERS)
async def test_each_route_lets_in_whom_the_table_says(door: Door, who: str) -> None:
    """Let in means: what is wrong then is the request, which names nothing that there is."""
    caller = CALLERS[who]
    wrong = {}
    token = await caller.token(door)
    for route, right in TABLE.items():
        if caller.only not in right:
            continue
        answer = await _tried(door, route, token)
        found = code_of(answer)
        expected = caller.refusal(right)
        refused = bool(found[1]) and str(found[1]).startswith("auth.")
        if (found if refused else None) != expected or answer.status_code >= 500:
            wrong[route] = (found, expected)
        if route.startswith(("DELETE /v1/account/sessions", "POST /v1/account/close")):
            token = await caller.token(door)  # it has just ended its own
    assert wrong == {}


@pytest.mark.parametrize("token", ["x", "a.b.c", "sk_nobody.x", "guest_x"])
async def test_a_bad_token_opens_no_route_of_the_api(door: Door, token: str) -> None:
    """Not even one that needs none: whoever sends a token believes to be somebody."""
    let_in = []
    for route, right in TABLE.items():
        found = code_of(await _tried(door, route, token))
        unread = right == "anyone" and str(found[1]).startswith("request.")  # it got no further than its body
        if " /v1/" in route and found != INVALID and not unread:
            let_in.append((route, found))
    assert let_in == []


def test_the_document_says_what_each_route_needs(rights_app: Litestar) -> None:
    from storeroom.server.openapi import finished

    document = finished(rights_app, rights_app.openapi_schema.to_schema())
    wrong = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            right = TABLE[f"{method.upper()} {path}"]
            schemes = [set(each) for each in operation.get("security", [])]
            if "." in right:
                fine = schemes == [{"account"}, {"key"}] and operation["x-permissions"] == right.split()
            else:
                expected = {
                    "anyone": ([], [set(), {"guest"}, {"account"}]),
                    "arrival": ([set(), {"guest"}, {"account"}],),
                    "visitor": ([{"guest"}, {"account"}],),
                    "account": ([{"account"}],),
                }
                fine = schemes in expected[right] and "x-permissions" not in operation
            if not fine:
                wrong[f"{method} {path}"] = schemes
    assert wrong == {}


async def _tried(door: Door, route: str, token: str | None):  # type: ignore[no-untyped-def]
    method, path = route.split()
    path = re.sub(r"\{\w+_id\}", lambda _: str(uuid4()), path)
    path = re.sub(r"\{\w+\}", "NO-SUCH-1", path)
    door.http.cookies.clear()
    return await door.call(
        method, path, token, **({} if method in {"GET", "DELETE"} else {"json": BODIES.get(route, {})})
    )
