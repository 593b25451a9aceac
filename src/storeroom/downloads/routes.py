"""Downloads over HTTP: files and links for staff, files for whoever has a link."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from storeroom.catalog import ProductNotFound
from storeroom.core.ids import OrderId, ProductId
from storeroom.downloads.errors import DownloadNotFound, DownloadOver, FileNotAccepted, NotDigital, NothingToSend
from storeroom.downloads.model import FILE_BYTES_MAX, KINDS, Download
from storeroom.downloads.service import Downloads
from storeroom.identity import Permission, SigningSecretMissing
from storeroom.orders import OrderNotFound
from storeroom.payments import FilesUnavailable
from storeroom.web import IDEMPOTENT, AnyRequest, Limiter, RateLimited, requires, says

_TAGS: Final = ["admin: downloads"]
OPENED_BY_ADDRESS: Final = 120  # in WINDOW
WINDOW: Final = timedelta(minutes=10)


class ProductFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a product, as it is kept."""

    product_id: UUID
    file_path: str | None


class DownloadList(msgspec.Struct, frozen=True, kw_only=True):
    """The digital lines of an order."""

    items: list[Download]


@dataclass
class UploadOperation(Operation):
    """Says in the API's description which files may come, as they are."""

    def __post_init__(self) -> None:
        file = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        self.request_body = RequestBody(required=True, content=dict.fromkeys(KINDS, file))


@dataclass
class DownloadOperation(Operation):
    """Says in the API's description which files may be handed out."""

    def __post_init__(self) -> None:
        file = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        found = OpenAPIResponse(description="The file", content=dict.fromkeys(KINDS, file))
        self.responses = {**(self.responses or {}), "200": found}


@put(
    "/v1/admin/products/{product_id:uuid}/file",
    summary="Give a digital product its file",
    tags=_TAGS,
    guards=[requires(Permission.CATALOG_WRITE)],
    request_max_body_size=FILE_BYTES_MAX,
    operation_class=UploadOperation,
    responses=says(ProductNotFound, NotDigital, FileNotAccepted, FilesUnavailable),
)
async def put_file(
    product_id: FromPath[UUID], request: AnyRequest, downloads: NamedDependency[Downloads]
) -> ProductFile:
    """The body is the file, up to 1 GB, and `Content-Type` says what it is. Links that were sent lead to it."""
    product = await downloads.put_file(
        product_id=ProductId(product_id), chunks=request.stream(), content_type=request.content_type[0]
    )
    return ProductFile(product_id=product.id, file_path=product.file_path)


@get(
    "/v1/admin/orders/{order_id:uuid}/downloads",
    summary="The downloads of an order",
    tags=_TAGS,
    guards=[requires(Permission.ORDERS_READ)],
    responses=says(OrderNotFound),
)
async def order_downloads(order_id: FromPath[UUID], downloads: NamedDependency[Downloads]) -> DownloadList:
    """Its digital lines: whether their link was sent, how often it was used, until when it works."""
    return DownloadList(items=list(await downloads.of_order(order_id=OrderId(order_id))))


@post(
    "/v1/admin/orders/{order_id:uuid}/downloads/send",
    summary="Send the links of an order again",
    tags=_TAGS,
    guards=[requires(Permission.ORDERS_WRITE)],
    status_code=200,
    opt=IDEMPOTENT,
    responses=says(OrderNotFound, NothingToSend, SigningSecretMissing),
)
async def send_downloads(order_id: FromPath[UUID], downloads: NamedDependency[Downloads]) -> DownloadList:
    """New ones: those that were sent before end."""
    return DownloadList(items=list(await downloads.send(order_id=OrderId(order_id))))


@get(
    "/v1/downloads/{token:str}",
    summary="Download what was bought",
    tags=["downloads"],
    operation_class=DownloadOperation,
    responses=says(DownloadNotFound, DownloadOver, FilesUnavailable, RateLimited),
)
async def download(
    token: FromPath[str], limiter: NamedDependency[Limiter], downloads: NamedDependency[Downloads]
) -> Stream:
    """By the link of a mail. Each time counts; an order that was refunded or cancelled has no downloads."""
    await limiter.by_address("download", times=OPENED_BY_ADDRESS, window=WINDOW)
    file = await downloads.open(token=token)
    return Stream(
        file.chunks,
        media_type=file.content_type,
        headers={
            "Content-Length": str(file.size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
            "Referrer-Policy": "no-referrer",
        },
    )


route_handlers: Final[Sequence[ControllerRouterHandler]] = (put_file, order_downloads, send_downloads, download)
