"""Where the ERP is: kept by staff, with a credential that goes out in the request and nowhere else."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import msgspec
import pytest
from sync import LOOPBACK, TOKEN, ReferenceErp, Sync, reference_erp

from factories import SECRET, make_product
from serving import app_of
from storeroom.core.crypto import key_id
from storeroom.database.service import SYSTEM
from storeroom.erp import ErpNotConnected, InvalidErpConnection
from storeroom.flows.secrets import rotate
from storeroom.identity import Permission
from storeroom.room import Storeroom

SEALED = "SELECT credential FROM {erp_connections} WHERE tenant_id = $1"


async def test_the_credential_is_sealed_and_never_shown(sync: Sync, erp: ReferenceErp) -> None:
    made = await sync.connect(erp.url)
    assert made.has_credential and TOKEN not in msgspec.json.encode(made).decode()
    sealed = await sync.one(SEALED)
    assert TOKEN not in sealed
    await sync.connect(erp.url, credential=None, timeout_seconds=3)  # everything else may change without it
    assert await sync.one(SEALED) == sealed
    with pytest.raises(InvalidErpConnection) as refused:  # who may set it may not have it sent elsewhere
        await sync.connect("http://127.0.0.1:9/elsewhere", credential=None)
    assert refused.value.field == "credential"
    assert (await sync.shop.erp.connection()).base_url == erp.url
    entries = (await sync.shop.audit.list(limit=20)).items
    assert "erp.connect" in {entry.action for entry in entries} and TOKEN not in str(entries)


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ({"auth": "none", "credential": None}, "authorization", None),
        ({"auth": "bearer"}, "authorization", f"Bearer {TOKEN}"),
        (
            {"auth": "basic", "auth_name": "shop"},
            "authorization",
            f"Basic {base64.b64encode(f'shop:{TOKEN}'.encode()).decode()}",
        ),
        ({"auth": "header", "auth_name": "X-Api-Key"}, "x-api-key", TOKEN),
    ],
    ids=["none", "bearer", "basic", "header"],
)
async def test_it_says_who_we_are_as_the_erp_asks(sync: Sync, settings: Any, name: str, value: str | None) -> None:
    with reference_erp(token=None) as erp:
        await sync.connect(erp.url, **settings)
        await make_product(sync.shop)
        await sync.send()
    ((method, path, headers, _),) = erp.requests
    assert (method, path, headers.get(name)) == ("POST", "/item-master", value)
    assert headers["user-agent"].startswith("Storeroom/")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"base_url": "ftp://erp.example"}, "base_url"),
        ({"base_url": "https://erp.example/?a=1"}, "base_url"),
        ({"base_url": "https://ann:pass@erp.example"}, "base_url"),
        ({"auth": "none"}, "credential"),
        ({"credential": None}, "credential"),
        ({"credential": "two\nlines"}, "credential"),
        ({"auth_name": "shop"}, "auth_name"),
        ({"auth": "basic"}, "auth_name"),
        ({"auth": "basic", "auth_name": "a:b"}, "auth_name"),
        ({"auth": "header", "auth_name": "Host"}, "auth_name"),
        ({"auth": "header", "auth_name": "no header"}, "auth_name"),
        ({"timeout_seconds": 31}, "timeout_seconds"),
    ],
)
async def test_a_connection_that_cannot_be_right_is_refused(sync: Sync, settings: Any, field: str) -> None:
    asked = {"base_url": "https://erp.example", "auth": "bearer", "credential": TOKEN, **settings}
    with pytest.raises(InvalidErpConnection) as refused:
        await sync.shop.erp.connect(**asked)
    assert refused.value.field == field
    with pytest.raises(ErpNotConnected):
        await sync.shop.erp.connection()


async def test_a_test_call_says_whether_the_erp_answers(sync: Sync, erp: ReferenceErp) -> None:
    await sync.connect(erp.url)
    good = await sync.shop.erp.test()
    assert (good.ok, good.response_status, good.error) == (True, 200, None)
    await sync.connect(erp.url, credential="another")
    wrong = await sync.shop.erp.test()
    assert (wrong.ok, wrong.response_status) == (False, 401)
    strict = Storeroom(sync.room.db, secret=SECRET)  # an installation that does not send inside
    refused = await strict.tenant(sync.shop.tenant_id).erp.test()
    await strict.courier.close()
    assert refused.error is not None and "public Internet" in refused.error
    assert erp.records.counts() == {}


async def test_a_new_secret_of_the_installation_seals_it_again(sync: Sync, erp: ReferenceErp) -> None:
    await sync.connect(erp.url)
    before = await sync.one(SEALED)
    new = "another secret of the same shop 0123456789"
    after = Storeroom(sync.room.db, secret=new, other_secrets=[SECRET], private_destinations=LOOPBACK)
    try:
        done = {each.what: each for each in await rotate(sync.room.db, after.token_keys)}
        assert (done["erp connections"].resealed, done["erp connections"].unreadable) == (1, 0)
        assert key_id(await sync.one(SEALED)) != key_id(before)
        assert (await after.tenant(sync.shop.tenant_id).erp.test()).ok
    finally:
        await after.courier.close()
        await rotate(sync.room.db, Storeroom(sync.room.db, secret=SECRET, other_secrets=[new]).token_keys)


async def test_staff_connect_and_look_over_http(sync: Sync, erp: ReferenceErp) -> None:
    key = (await sync.shop.acting(actor=SYSTEM).api_keys.create(name="erp", permissions=[Permission.ERP_WRITE]))[1]
    app = app_of(sync.room)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=transport, base_url="http://shop.test", headers={"Authorization": f"Bearer {key}"}
    ) as http:
        assert (await http.get("/v1/admin/erp/connection")).json()["code"] == "erp.not_connected"
        asked = {"base_url": erp.url, "auth": "bearer", "credential": TOKEN}
        made = (await http.put("/v1/admin/erp/connection", json=asked)).json()
        assert (made["has_credential"], "credential" in made, made["is_active"]) == (True, False, True)
        _, payment = await sync.paid()
        await sync.sweep()
        await sync.send()
        status = (await http.get("/v1/admin/erp")).json()
        assert [(each["sent_as"], each["unsynced"], each["waiting"]) for each in status["entities"]] == [
            ("Customer Master", 0, 0),
            ("Item Master", 0, 0),
            ("Sales Order", 0, 0),
            ("Payment/Receipt", 0, 0),
            ("Credit Memo", 0, 0),
        ]
        again = await http.post("/v1/admin/erp/resync", json={"entity": "payment", "entity_id": str(payment.id)})
        assert again.json() == {"entity": "payment", "reset": 1, "more": False}
        every = await http.post("/v1/admin/erp/resync", json={"entity": "order"})
        assert every.json() == {"entity": "order", "reset": 1, "more": False}
        assert (await http.delete("/v1/admin/erp/connection")).status_code == 204
        assert (await http.post("/v1/admin/erp/resync", json={"entity": "order"})).status_code == 404
