"""Keys of programs: what opens with one, what never does, and what is kept of it."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from door import Door, code_of

from storeroom.access import (
    KEYS_MAX,
    PEOPLE_ONLY,
    ApiKeyNotFound,
    ApiKeyRefused,
    ApiKeys,
    InvalidApiKey,
    PeopleOnly,
    PermissionNotYours,
    TooManyApiKeys,
)
from storeroom.core.ids import ApiKeyId, new_id
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind
from storeroom.identity import Permission, UserRole, UserStatus

ORDERS = "/v1/admin/orders"


async def test_a_key_is_shown_once_and_opens_what_it_was_made_for(door: Door) -> None:
    admin = await door.token_of(UserRole.ADMIN)
    body = {"name": "  ware\thouse ", "permissions": ["orders.read", "orders.read"]}
    made = await door.call("POST", "/v1/admin/api-keys", admin, json=body)
    assert made.status_code == 201, made.text
    key, text = made.json()["api_key"], made.json()["key"]
    assert text.startswith(f"sk_{door.shop.tenant_id}.")
    assert (key["name"], key["permissions"], key["hint"]) == ("ware house", ["orders.read"], text[-4:])
    assert (key["last_used_at"], key["calls_per_minute"]) == (None, None)

    assert (await door.call("GET", ORDERS, text)).status_code == 200
    refused = await door.call("GET", "/v1/admin/payments", text)
    assert code_of(refused) == (403, "auth.permission_missing")
    assert code_of(await door.call("GET", "/v1/account", text)) == (401, "auth.sign_in_required")
    assert code_of(await door.call("POST", "/v1/carts", text, json={})) == (401, "auth.visitor_required")

    again = await door.call("GET", f"/v1/admin/api-keys/{key['id']}", admin)
    listed = await door.call("GET", "/v1/admin/api-keys", admin)
    secret = text.partition(".")[2]
    assert secret not in again.text + listed.text
    assert again.json()["last_used_at"] is not None


async def test_only_a_hash_is_kept(door: Door) -> None:
    text = await door.key(Permission.ORDERS_READ)
    secret = text.partition(".")[2]
    row = await door.one("SELECT to_jsonb(k)::text FROM {api_keys} k WHERE tenant_id = $1")
    assert secret not in row
    assert hashlib.sha256(secret.encode()).hexdigest() in row


async def test_the_trail_says_who_made_it_and_not_what_it_is(door: Door) -> None:
    admin = await door.member(UserRole.ADMIN)
    key, text = await door.by(admin).api_keys.create(name="till", permissions=[Permission.ORDERS_READ])
    await door.by(admin).api_keys.revoke(key_id=key.id)
    secret = text.partition(".")[2]
    rows = await door.one("SELECT jsonb_agg(to_jsonb(a))::text FROM {audit_logs} a WHERE tenant_id = $1")
    assert "access.create_key" in rows
    assert "access.revoke_key" in rows
    assert str(admin.id) in rows
    assert secret not in rows
    assert hashlib.sha256(secret.encode()).hexdigest() not in rows


async def test_two_keys_of_one_name_are_told_apart_in_the_trail(door: Door) -> None:
    made = [await door.shop.api_keys.create(name="till", permissions=[Permission.CATALOG_WRITE]) for _ in range(2)]
    for number, (_, text) in enumerate(made):
        answer = await door.call("POST", "/v1/admin/categories", text, json={"name": f"Caps {number}"})
        assert answer.status_code == 201, answer.text
        assert (await door.call("GET", ORDERS, text)).status_code == 403
    for key, _ in made:
        rows = "SELECT array_agg(action ORDER BY action) FROM {audit_logs} WHERE tenant_id = $1 AND user_email = $2"
        assert await door.one(rows, f"key till {key.id}") == ["catalog.create_category", "rights.denied"]


async def test_the_key_says_which_shop_whatever_the_host_says(door: Door) -> None:
    text = await door.key(Permission.USERS_READ)
    customer = await door.shop.users.create(email="bo@buyer.example", role=UserRole.CUSTOMER)
    answer = await door.call("GET", "/v1/admin/users", text, headers={"Host": "elsewhere.test"})
    assert [user["id"] for user in answer.json()["items"]] == [str(customer.id)]


async def test_a_key_of_another_shop_or_an_altered_one_opens_nothing(door: Door) -> None:
    text = await door.key(Permission.ORDERS_READ)
    other = f"{door.shop.tenant_id}x"
    await door.room.tenants.create(other, name="Other", currency="USD")
    secret = text.partition(".")[2]
    flipped = ("B" if secret[0] == "A" else "A") + secret[1:]
    for wrong in (
        f"sk_{other}.{secret}",
        f"sk_nobody.{secret}",
        f"sk_{door.shop.tenant_id}.{flipped}",
        f"{text}A",
        text[:-1],
        text.upper(),
        "sk_",
        "sk_.",
        f"sk_{door.shop.tenant_id}",
    ):
        assert code_of(await door.call("GET", ORDERS, wrong)) == (401, "auth.invalid_token"), wrong
    with pytest.raises(ApiKeyRefused):
        await door.room.tenant(other).api_keys.authenticate(text)
    assert (await door.call("GET", ORDERS, text)).status_code == 200


async def test_a_revoked_key_opens_nothing_from_the_next_call_on(door: Door) -> None:
    admin = await door.token_of(UserRole.ADMIN)
    text = await door.key(Permission.ORDERS_READ)
    (listed,) = (await door.call("GET", "/v1/admin/api-keys", admin)).json()["items"]
    assert (await door.call("GET", ORDERS, text)).status_code == 200
    for _ in range(2):
        revoked = await door.call("DELETE", f"/v1/admin/api-keys/{listed['id']}", admin)
        assert revoked.status_code == 200
        assert revoked.json()["revoked_at"] is not None
    assert code_of(await door.call("GET", ORDERS, text)) == (401, "auth.invalid_token")
    unknown = await door.call("DELETE", f"/v1/admin/api-keys/{new_id()}", admin)
    assert code_of(unknown) == (404, "access.key_not_found")


async def test_a_key_ends_when_its_time_is_over(door: Door) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, text = await door.shop.api_keys.create(name="x", permissions=[Permission.ORDERS_READ], expires_at=soon)
    assert (await door.call("GET", ORDERS, text)).status_code == 200
    await door.run("UPDATE {api_keys} SET expires_at = now() - interval '1 second' WHERE tenant_id = $1")
    assert code_of(await door.call("GET", ORDERS, text)) == (401, "auth.invalid_token")


async def test_the_last_use_is_noted_once_a_minute(door: Door) -> None:
    text = await door.key(Permission.ORDERS_READ)
    used = "SELECT last_used_at FROM {api_keys} WHERE tenant_id = $1"
    await door.call("GET", ORDERS, text)
    first = await door.one(used)
    await door.call("GET", ORDERS, text)
    assert await door.one(used) == first
    await door.run("UPDATE {api_keys} SET last_used_at = last_used_at - interval '61 seconds' WHERE tenant_id = $1")
    await door.call("GET", ORDERS, text)
    assert await door.one(used) > first


async def test_checking_a_fresh_key_costs_one_statement(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    text = await door.key(Permission.ORDERS_READ)
    keys = ApiKeys(door.shop.context)
    await keys.authenticate(text)  # notes the use, and the tenant is known for some seconds
    asked: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        plain = getattr(Database, name)

        def counted(self: Database, sql: str, *args: object, _plain: object = plain) -> object:
            asked.append(sql)
            return _plain(self, sql, *args)  # type: ignore[operator]

        monkeypatch.setattr(Database, name, counted)
    await keys.authenticate(text)
    assert len(asked) == 1, asked


async def test_nobody_gives_a_key_more_than_they_have(door: Door) -> None:
    staff = await door.member(UserRole.STAFF, Permission.KEYS_WRITE, Permission.ORDERS_READ)
    token = await door.token(staff)
    own = await door.call("POST", "/v1/admin/api-keys", token, json={"name": "a", "permissions": ["orders.read"]})
    assert own.status_code == 201
    assert own.json()["api_key"]["created_by"] == str(staff.id)
    more = {"name": "b", "permissions": ["orders.read", "payments.verify"]}
    refused = await door.call("POST", "/v1/admin/api-keys", token, json=more)
    assert code_of(refused) == (403, "access.permission_not_yours")
    assert refused.json()["permissions"] == ["payments.verify"]
    admin = door.by(await door.member(UserRole.SUPER_ADMIN))
    for permission in PEOPLE_ONLY:
        with pytest.raises(PermissionNotYours):
            await admin.api_keys.create(name="c", permissions=[permission])
        with pytest.raises(PermissionNotYours):
            await door.shop.api_keys.create(name="c", permissions=[permission])
    assert await door.one("SELECT count(*) FROM {api_keys} WHERE tenant_id = $1") == 1


@pytest.mark.parametrize("kind", [ActorKind.ADMIN, ActorKind.CUSTOMER, ActorKind.WEBHOOK])
async def test_only_people_make_and_revoke_keys(door: Door, kind: ActorKind) -> None:
    """An actor of the kind admin without an account is a key."""
    key, _ = await door.shop.api_keys.create(name="x", permissions=[Permission.ORDERS_READ])
    shop = door.shop.acting(actor=Actor(kind=kind, name="key x"))
    with pytest.raises(PeopleOnly):
        await shop.api_keys.create(name="y", permissions=[Permission.ORDERS_READ])
    with pytest.raises(PeopleOnly):
        await shop.api_keys.revoke(key_id=key.id)
    assert (await door.shop.api_keys.get(key_id=key.id)).revoked_at is None


async def test_a_deleted_account_makes_no_key(door: Door) -> None:
    admin = await door.member(UserRole.ADMIN)
    await door.run("UPDATE {users} SET deleted_at = now(), status = 'deleted' WHERE tenant_id = $1")
    with pytest.raises(PeopleOnly):
        await door.by(admin).api_keys.create(name="y", permissions=[Permission.ORDERS_READ])


async def test_a_key_outlives_its_maker(door: Door) -> None:
    """It is the shop's; who leaves has it revoked by somebody."""
    admin = await door.member(UserRole.ADMIN)
    _, text = await door.by(admin).api_keys.create(name="x", permissions=[Permission.ORDERS_READ])
    await door.shop.users.set_status(user_id=admin.id, status=UserStatus.SUSPENDED)
    assert (await door.call("GET", ORDERS, text)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"permissions": []}, "permissions"),
        ({"calls_per_minute": 0}, "calls_per_minute"),
        ({"calls_per_minute": 1_000_001}, "calls_per_minute"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
async def test_bad_input_is_named(door: Door, fields: dict[str, object], field: str) -> None:
    given = {"name": "x", "permissions": [Permission.ORDERS_READ], **fields}
    with pytest.raises(InvalidApiKey) as refused:
        await door.shop.api_keys.create(**given)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert await door.one("SELECT count(*) FROM {api_keys} WHERE tenant_id = $1") == 0


async def test_a_shop_has_a_bounded_number_of_keys(door: Door) -> None:
    key, _ = await door.shop.api_keys.create(name="first", permissions=[Permission.ORDERS_READ])
    await door.run(
        "INSERT INTO {api_keys} (tenant_id, id, name, key_hash, hint, permissions) "
        "SELECT $1, gen_random_uuid(), 'x', lpad(to_hex(n), 64, '0'), 'xxxx', '{orders.read}' "
        "FROM generate_series(2, $2) n",
        KEYS_MAX,
    )
    with pytest.raises(TooManyApiKeys):
        await door.shop.api_keys.create(name="last", permissions=[Permission.ORDERS_READ])
    await door.shop.api_keys.revoke(key_id=key.id)
    await door.shop.api_keys.create(name="last", permissions=[Permission.ORDERS_READ])


async def test_keys_are_listed_page_by_page(door: Door) -> None:
    made = [(await door.shop.api_keys.create(name=f"k{n}", permissions=[Permission.ORDERS_READ]))[0] for n in range(3)]
    first = await door.shop.api_keys.list(limit=2)
    rest = await door.shop.api_keys.list(limit=2, cursor=first.next_cursor)
    assert [key.id for key in (*first.items, *rest.items)] == [key.id for key in reversed(made)]
    assert rest.next_cursor is None
    with pytest.raises(ApiKeyNotFound):
        await door.shop.api_keys.get(key_id=ApiKeyId(new_id()))


async def test_what_a_key_does_is_said_of_it(door: Door) -> None:
    """A history names the key and no person; accounts are not changed in its name, whatever it may."""
    text = await door.key(Permission.CATALOG_WRITE, Permission.INVENTORY_WRITE, name="importer")
    body = {"name": "Shirt", "sku": "S-1", "price": {"amount": 100, "currency": "USD"}, "on_hand": 3}
    made = await door.call("POST", "/v1/admin/products", text, json=body)
    assert made.status_code == 201, made.text
    kinds = await door.one("SELECT array_agg(DISTINCT actor_kind::text) FROM {stock_movements} WHERE tenant_id = $1")
    assert kinds == ["admin"]
    assert await door.one("SELECT count(*) FROM {stock_movements} WHERE tenant_id = $1 AND actor_id IS NULL") == 1


async def test_two_keys_do_not_share_an_idempotency_key(door: Door) -> None:
    keys = [await door.key(Permission.CATALOG_WRITE, name=name) for name in ("a", "b")]
    answers = []
    for number, text in enumerate((*keys, keys[0])):
        body = {"name": f"Category {number % 2}"}
        answers.append(
            await door.call("POST", "/v1/admin/categories", text, json=body, headers={"Idempotency-Key": "k"})
        )
    assert [answer.status_code for answer in answers] == [201, 201, 201], [answer.text for answer in answers]
    assert answers[0].json() == answers[2].json() != answers[1].json()
