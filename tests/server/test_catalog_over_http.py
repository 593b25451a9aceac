"""The catalogue over HTTP: what customers see, what staff do, and what is refused with the part that is wrong."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from served import Place, client_of

from storeroom.identity import Permission, UserRole, UserStatus

PASSWORD = "correct horse battery"
NOBODY = "0199aaaa-0000-7000-8000-000000000000"


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


async def client_of_staff(place: Place, *permissions: Permission) -> httpx.AsyncClient:
    users = place.room.tenant(place.market.tenant_id).users
    email = f"{uuid4().hex}@shop.example"
    await users.create(
        email=email, password=PASSWORD, role=UserRole.STAFF, permissions=permissions, status=UserStatus.ACTIVE
    )
    answer = await place.http.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    client = client_of(place.app, place.host)
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


@pytest.fixture
async def staff(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of_staff(place, Permission.CATALOG_WRITE) as client:
        yield client


SHIRT: dict[str, Any] = {
    "name": "Linen Shirt",
    "product_type": "accessory",
    "tags": ["summer"],
    "requires_age_verification": False,
    "restricted_countries": ["UK"],
    "options": [{"name": "Color", "values": ["Red", "Blue"]}],
    "variants": [
        {"options": {"Color": "Red"}, "price": usd(4990), "compare_at_price": usd(5990), "sku": "RED", "on_hand": 3},
        {"options": {"Color": "Blue"}, "price": usd(4490), "cost_price": usd(1000), "stock_policy": "untracked"},
    ],
    "images": [{"url": "https://img.example/1.jpg", "alt_text": "Front"}],
}


async def made(staff: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await staff.post("/v1/admin/products", json=SHIRT | changes)
    assert answer.status_code == 201, answer.text
    product: dict[str, Any] = answer.json()
    return product


@pytest.mark.requirement("STO-PROD-02", "STO-VAR-04", "STO-CAT-03")
async def test_what_staff_publish_customers_see(place: Place, staff: httpx.AsyncClient) -> None:
    shelf = (await staff.post("/v1/admin/categories", json={"name": "Shirts"})).json()
    product = await made(staff, category_ids=[shelf["id"]], base_price=usd(4000), metadata={"supplier": "secret"})
    assert (product["status"], product["restricted_countries"]) == ("draft", ["GB"])
    assert [v["margin"] for v in product["variants"]] == [None, usd(3490)]
    assert (await place.http.get("/v1/products/linen-shirt")).status_code == 404
    assert (await place.http.get("/v1/products")).json() == {"items": [], "next_cursor": None}

    published = await staff.post(f"/v1/admin/products/{product['id']}/publish")
    assert (published.status_code, published.json()["status"]) == (200, "active")

    listed = await place.http.get("/v1/products", params={"category": "shirts", "type": "accessory", "tag": "summer"})
    (row,) = listed.json()["items"]
    assert (row["slug"], row["price"], row["image_url"]) == ("linen-shirt", usd(4000), "https://img.example/1.jpg")
    red, blue = row["variants"]
    assert red == {
        "id": product["variants"][0]["id"],
        "sku": "RED",
        "title": "Red",
        "price": usd(4990),
        "compare_at_price": usd(5990),
        "available": 3,
        "in_stock": True,
    }
    assert (blue["available"], blue["in_stock"], blue["compare_at_price"]) == (None, True, None)
    page = (await place.http.get("/v1/products/linen-shirt")).json()
    assert [option["values"] for option in page["options"]] == [["Red", "Blue"]]
    assert [c["slug"] for c in page["categories"]] == ["shirts"]
    assert not {"metadata", "file_path", "external_id"} & page.keys()
    assert not {"cost_price", "on_hand", "margin"} & page["variants"][0].keys()
    for words, found in (("shirt", 1), ("linnen", 1), ("sofa", 0)):
        hits = (await place.http.get("/v1/products", params={"q": words})).json()["items"]
        assert len(hits) == found, words
    tree = (await place.http.get("/v1/categories")).json()["items"]
    assert [(node["slug"], node["children"]) for node in tree] == [("shirts", [])]
    for move, status in (("discontinue", 200), ("discontinue", 409), ("out-of-stock", 409), ("publish", 200)):
        assert (await staff.post(f"/v1/admin/products/{product['id']}/{move}")).status_code == status
    assert (await staff.post(f"/v1/admin/products/{product['id']}/unpublish")).json()["status"] == "draft"


async def test_pages_of_products_are_walked_with_their_cursors(place: Place, staff: httpx.AsyncClient) -> None:
    for n in range(3):
        await made(staff, name=f"Shirt {n}", publish=True, variants=[], options=[], price=usd(100 + n))
    for params in ({}, {"q": "shirt"}):
        seen, cursor = [], None
        while True:
            paging = {"limit": 2, **params, **({"cursor": cursor} if cursor else {})}
            answer = (await place.http.get("/v1/products", params=paging)).json()
            seen += [item["slug"] for item in answer["items"]]
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        assert sorted(seen) == ["shirt-0", "shirt-1", "shirt-2"]


async def test_staff_change_what_they_name_and_nothing_else(staff: httpx.AsyncClient) -> None:
    product = await made(staff)
    path = f"/v1/admin/products/{product['id']}"
    changed = await staff.patch(path, json={"name": "Shirt", "restricted_countries": None})
    assert changed.status_code == 200, changed.text
    kept = {"updated_at", "name", "restricted_countries"}
    assert {k: v for k, v in changed.json().items() if k not in kept} == {
        k: v for k, v in product.items() if k not in kept
    }
    assert (changed.json()["name"], changed.json()["restricted_countries"]) == ("Shirt", None)

    options = [{"name": "Size", "values": ["M", "L"]}, {"name": "Color", "values": ["Blue", "Red"]}]
    turned = await staff.put(f"{path}/options", json={"options": options})
    assert [v["title"] for v in turned.json()["variants"]] == ["M / Red", "M / Blue"]
    added = await staff.post(f"{path}/variants", json={"options": {"Size": "L", "Color": "Red"}, "price": usd(1)})
    assert (added.status_code, added.json()["title"]) == (201, "L / Red")
    one = f"/v1/admin/variants/{added.json()['id']}"
    cheaper = await staff.patch(one, json={"price": usd(2), "sku": "L-RED", "is_active": False})
    assert (cheaper.json()["price"], cheaper.json()["sku"], cheaper.json()["is_active"]) == (usd(2), "L-RED", False)
    assert (await staff.get(one)).json() == cheaper.json()
    image = (await staff.post(f"{path}/images", json={"url": "/files/2.jpg"})).json()
    assert image["position"] == 2
    assert (await staff.delete(f"{path}/images/{image['id']}")).status_code == 204
    assert (await staff.delete(f"{path}/images/{image['id']}")).status_code == 404
    assert (await staff.delete(path)).status_code == 204
    gone = (await staff.get(path)).json()
    assert (gone["active"], gone["deleted_at"] is None) == (False, False)
    assert (await staff.patch(path, json={"name": "Back"})).json()["code"] == "catalog.product_deleted"
    assert (await staff.get("/v1/admin/products")).json()["items"] == []


@pytest.mark.requirement("CED-OP-052")
async def test_staff_find_a_product_by_its_price_at_stripe(staff: httpx.AsyncClient) -> None:
    red, blue = SHIRT["variants"]
    product = await made(staff, variants=[red, blue | {"stripe_price_id": "price_1Nqx"}])
    await made(staff, name="Other Shirt", variants=[blue | {"stripe_price_id": "price_2"}])
    found = await staff.get("/v1/admin/products/by-stripe-price/price_1Nqx")
    assert (found.status_code, found.json()) == (200, product)
    for unknown in ("price_3", "%00", "PRICE_2"):
        refused = await staff.get(f"/v1/admin/products/by-stripe-price/{unknown}")
        assert (refused.status_code, refused.json()["code"]) == (404, "catalog.product_not_found"), unknown


async def test_the_tree_is_planted_over_http(staff: httpx.AsyncClient) -> None:
    async def plant(name: str, parent: str | None = None) -> str:
        answer = await staff.post("/v1/admin/categories", json={"name": name, "parent_id": parent})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    root = await plant("Root")
    leaf = await plant("Leaf", root)
    other = await plant("Other")
    cycle = await staff.put(f"/v1/admin/categories/{root}/parent", json={"parent_id": leaf})
    assert (cycle.status_code, cycle.json()["code"]) == (409, "catalog.category_cycle")
    moved = await staff.put(f"/v1/admin/categories/{root}/parent", json={"parent_id": other})
    assert moved.json()["parent_id"] == other
    path = (await staff.get(f"/v1/admin/categories/{leaf}/path")).json()["items"]
    assert [category["slug"] for category in path] == ["other", "root", "leaf"]
    hidden = await staff.patch(f"/v1/admin/categories/{root}", json={"is_active": False, "sort_order": 5})
    assert (hidden.json()["is_active"], hidden.json()["name"]) == (False, "Root")
    assert (await staff.get("/v1/categories")).json()["items"][0]["children"] == []
    assert (await staff.get("/v1/admin/categories")).json()["items"][0]["children"][0]["slug"] == "root"

    product = await made(staff)
    place = f"/v1/admin/products/{product['id']}/categories"
    assert (await staff.put(f"{place}/{leaf}", json={})).status_code == 204
    assert (await staff.put(f"{place}/{other}", json={"is_primary": True})).status_code == 204
    seen = (await staff.get(f"/v1/admin/products/{product['id']}")).json()["categories"]
    assert [(c["slug"], c["is_primary"]) for c in seen] == [("other", True), ("leaf", False)]
    assert (await staff.delete(f"{place}/{other}")).status_code == 204
    seen = (await staff.get(f"/v1/admin/products/{product['id']}")).json()["categories"]
    assert [(c["slug"], c["is_primary"]) for c in seen] == [("leaf", True)]


@pytest.mark.requirement("SBB-BAT-01", "SBB-PROD-13")
async def test_a_batch_is_verified_in_the_name_of_who_is_signed_in(place: Place, staff: httpx.AsyncClient) -> None:
    product = await made(staff, publish=True)
    today = datetime.now(UTC).date()
    batch = {
        "batch_number": "B-1",
        "quantity_produced": 5,
        "coa_file_url": "/files/b-1.pdf",
        "manufactured_at": str(today - timedelta(days=3)),
        "expires_at": str(today + timedelta(days=20)),
    }
    path = f"/v1/admin/products/{product['id']}/batches"
    created = await staff.post(path, json=batch)
    assert (created.status_code, created.json()["coa_verified"]) == (201, False)
    assert (await staff.post(path, json=batch)).json()["code"] == "catalog.batch_number_taken"
    missing = await staff.post(path, json={k: v for k, v in batch.items() if k != "coa_file_url"})
    assert (missing.status_code, missing.json()["field"]) == (400, "coa_file_url")
    one = f"/v1/admin/batches/{created.json()['id']}"
    verified = (await staff.post(f"{one}/verify")).json()
    assert verified["coa_verified_by"] is not None
    assert (await place.http.get("/v1/products/linen-shirt")).json()["current_batch_number"] == "B-1"
    assert (await staff.post(f"{one}/deactivate")).json()["is_active"] is False
    assert (await place.http.get("/v1/products/linen-shirt")).json()["current_batch_number"] is None
    assert (await staff.post(f"{one}/activate")).json()["is_active"] is True
    for days, found in ((30, 1), (10, 0)):
        expiring = await staff.get("/v1/admin/batches/expiring", params={"days": days})
        assert len(expiring.json()["items"]) == found
    assert len((await staff.get(path)).json()["items"]) == 1


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"name": ""}, 422, "name"),
        ({"name": None}, 400, "name"),
        ({"name": "x" * 256}, 400, "name"),
        ({"slug": "a b"}, 422, "slug"),
        ({"product_type": "sofa"}, 400, "product_type"),
        ({"price": usd(1)}, 422, "price"),
        ({"variants": [{"options": {"Color": "Red"}, "price": usd(-1)}]}, 422, "price"),
        ({"variants": [{"options": {"Color": "Pink"}, "price": usd(1)}]}, 422, "options.Color"),
        ({"variants": [{"options": {"Color": "Red"}, "price": {"amount": 1, "currency": "EUR"}}]}, 422, "price"),
        ({"variants": [{"options": {"Color": "Red"}, "price": 5}]}, 400, "variants[0].price"),
        ({"variants": []}, 422, "variants"),
        ({"restricted_countries": ["Narnia"]}, 422, "restricted_countries"),
        ({"nonsense": 1}, 400, "nonsense"),
        ({"images": [{"url": "javascript:alert(1)"}]}, 422, "images.url"),
        ({"metadata": {"a": "\x00"}}, 422, "metadata"),
    ],
)
async def test_bad_input_is_a_problem_that_names_the_field(
    place: Place, staff: httpx.AsyncClient, changes: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await staff.post("/v1/admin/products", json=SHIRT | changes)
    assert answer.status_code == status, answer.text
    assert answer.json().get("field") == field
    assert await place.count("products") == 0


async def test_bad_lists_are_refused(place: Place) -> None:
    for params, status in (
        ({"category": "nothing"}, 404),
        ({"type": "sofa"}, 400),
        ({"limit": "0"}, 400),
        ({"cursor": "nonsense"}, 422),
        ({"q": " "}, 422),
        ({"q": "x" * 101}, 400),
    ):
        answer = await place.http.get("/v1/products", params=params)
        assert answer.status_code == status, (params, answer.text)


async def test_only_staff_with_the_permission_come_in(place: Place, staff: httpx.AsyncClient) -> None:
    product = await made(staff)
    async with await client_of_staff(place, Permission.ORDERS_READ) as other:
        for client, status in ((place.http, 401), (other, 403)):
            assert (await client.get("/v1/admin/products")).status_code == status
            assert (await client.post("/v1/admin/products", json=SHIRT)).status_code == status
            assert (await client.delete(f"/v1/admin/products/{product['id']}")).status_code == status
    for method, path in (
        ("GET", f"/v1/admin/products/{NOBODY}"),
        ("POST", f"/v1/admin/products/{NOBODY}/publish"),
        ("DELETE", f"/v1/admin/products/{NOBODY}"),
        ("GET", f"/v1/admin/variants/{NOBODY}"),
        ("POST", f"/v1/admin/batches/{NOBODY}/verify"),
        ("GET", f"/v1/admin/categories/{NOBODY}/path"),
        ("GET", "/v1/products/nothing"),
    ):
        assert (await staff.request(method, path)).status_code == 404, path


async def test_a_product_sent_twice_with_one_key_is_made_once(place: Place, staff: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = await staff.post("/v1/admin/products", json=SHIRT, headers=key)
    again = await staff.post("/v1/admin/products", json=SHIRT, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert await place.count("products") == 1
