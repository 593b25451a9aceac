"""What a person sees in a browser: that it runs, what the API offers, what an error means. No scripts, no strangers."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from litestar import Litestar, MediaType, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from storeroom import __version__
from storeroom.catalog import ProductSummary
from storeroom.core.errors import NotFound, StoreroomError
from storeroom.core.ids import TenantId
from storeroom.core.pages import Page
from storeroom.room import Shop, Storeroom
from storeroom.server.openapi import finished
from storeroom.web import AnyRequest, Call, status_of, title_of

PRODUCTS_SHOWN: Final = 8
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}
METHODS: Final = ("get", "post", "put", "patch", "delete")


class NoSuchErrorCode(NotFound):
    """No error has this code."""

    code = "server.no_such_error_code"

    def __init__(self, *, error_code: str) -> None:
        super().__init__(f"no error has the code {error_code[:100]}")
        self.error_code = error_code[:100]


@get("/", include_in_schema=False, media_type=MediaType.HTML)
async def first_look(call: NamedDependency[Call], room: NamedDependency[Storeroom]) -> Response[str]:
    """That it runs, and where things are. A shop that is not there yet is not an error here."""
    products: Page[Any] = Page([])
    tenant_id: TenantId | None = None
    sku = "A-SKU"
    try:
        tenant_id = await call.gate.tenant_at(call.domain or "")
        shop = room.tenant(tenant_id)
        products = await shop.products.list(storefront=True, limit=PRODUCTS_SHOWN)
        sku = await _sold_to_anyone(shop, products.items) or sku
    except NotFound:
        pass
    return _page(
        "first_look.html",
        shop=tenant_id,
        products=products.items,
        more=products.next_cursor is not None,
        host=call.host,
        sku=sku,
    )


async def _sold_to_anyone(shop: Shop, products: list[ProductSummary]) -> str | None:
    """The sku of something in stock for which nobody is asked for an age or a paper: the example has to work."""
    for product in products:
        in_stock = [variant.sku for variant in product.variants if variant.in_stock and variant.sku]
        if in_stock:
            details = await shop.products.page(slug=product.slug)
            if not (details.requires_age_verification or details.requires_kyc):
                return in_stock[0]
    return None


@get("/docs/api", include_in_schema=False, media_type=MediaType.HTML)
async def api_reference(request: AnyRequest) -> Response[str]:
    """The OpenAPI document as a page to read."""
    return _page("api.html", **_reference(request.app))


@get("/docs/errors", include_in_schema=False, media_type=MediaType.HTML)
async def error_list() -> Response[str]:
    """Every code."""
    known = sorted(known_errors().items())
    return _page("errors.html", errors=[(code, status_of(error), title_of(error)) for code, error in known])


@get("/docs/errors/{error_code:str}", include_in_schema=False, media_type=MediaType.HTML)
async def error_page(error_code: FromPath[str]) -> Response[str]:
    """Where the `type` of a problem leads."""
    error = known_errors().get(error_code)
    if error is None:
        raise NoSuchErrorCode(error_code=error_code)
    text = "\n".join(line.strip() for line in (error.__doc__ or "").strip().splitlines())
    return _page("error.html", error=error, status=status_of(error), title=title_of(error), text=text)


def known_errors() -> Mapping[str, type[StoreroomError]]:
    """All by their codes, those as well that no route raises: somebody may look up what a command has said."""
    from storeroom import seeding  # noqa: F401, PLC0415  # to have them known
    from storeroom.database import distribution  # noqa: F401, PLC0415

    return StoreroomError.by_code


route_handlers: Final = (first_look, api_reference, error_list, error_page)


def _page(template: str, **values: Any) -> Response[str]:
    text = _templates().get_template(template).render(version=__version__, **values)
    return Response(text, media_type=MediaType.HTML, headers=HEADERS)


@cache  # made when somebody looks, not when the server starts
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["money"] = lambda money: "" if money is None else money.format()
    return environment


@cache
def _reference(app: Litestar) -> dict[str, Any]:
    document = finished(app, app.openapi_schema.to_schema())
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if (operation := item.get(method)) is not None:
                tag = (operation.get("tags") or ["other"])[0]
                groups.setdefault(tag, []).append({"path": path, "method": method.upper(), **operation})
    return {"groups": sorted(groups.items()), "title": document["info"]["title"]}
