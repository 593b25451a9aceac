"""Files of products, links to them, and handing them out."""

from collections.abc import AsyncIterator, Sequence
from os import environ
from typing import Self

from typing_extensions import override

from storeroom.audit import audited
from storeroom.catalog import Product, ProductNotFound, Products
from storeroom.core.ids import OrderId, ProductId
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.downloads import queries
from storeroom.downloads.errors import DownloadNotFound, DownloadOver, FileNotAccepted, NotDigital, NothingToSend
from storeroom.downloads.links import named_by
from storeroom.downloads.model import (
    DUE_AT_ONCE_MAX,
    KINDS,
    LINES_MAX,
    SENT_WITHIN,
    Download,
    File,
    Link,
    Named,
    checked,
    content_type_of,
    is_good,
    new_path,
)
from storeroom.downloads.sending import send_lines
from storeroom.identity import TokenKeys
from storeroom.orders import OrderNotFound, links_of_product_are_due
from storeroom.payments import ProofStore


class Downloads(Service):
    """What a shop hands out as files."""

    def __init__(self, context: Context, keys: TokenKeys | None = None, *, files: ProofStore | None = None) -> None:
        """Without keys no link is made or read; without a store, files are where STOREROOM_FILES_URL says."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)
        self._files = files

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys, files=self._files)

    @property
    def files(self) -> ProofStore:
        """Where they are kept, beside proofs of payment, each in a folder of its own."""
        return self._files or ProofStore.from_environment(environ)

    # --- For staff ----------------------------------------------------------------------------------------------------

    async def put_file(self, *, product_id: ProductId, chunks: AsyncIterator[bytes], content_type: str) -> Product:
        """Give a digital product its file, in the place of the one it has; links that were sent lead to the new one.

        The file is stored before the row that names it, outside of any transaction. The one before stays in the store:
        somebody may be reading it.

        Args:
            product_id: of a digital product.
            chunks: the file, piece by piece.
            content_type: one of KINDS.

        Raises:
            ProductNotFound, NotDigital: there is no such product, or it is no download.
            FileNotAccepted: another kind of file, empty, or larger than FILE_BYTES_MAX. Nothing was kept.
            FilesUnavailable: the store does not answer.
        """
        await self.context.settings()
        found = await queries.goods(self.db, tenant_id=self.tenant_id, product_id=product_id)
        path = None
        if found is not None and found.is_digital:
            if content_type not in KINDS:
                raise FileNotAccepted(reason=f"none of {', '.join(KINDS)}")
            path = new_path(self.tenant_id, product_id, content_type)
            await self.files.keep(path, checked(chunks, content_type))
        return await self._name(product_id=product_id, path=path)

    @audited("downloads.put_file", "product", "product_id")
    @transactional
    async def _name(self, *, product_id: ProductId, path: str | None) -> Product:
        found = await queries.goods(self.db, tenant_id=self.tenant_id, product_id=product_id)
        if found is None:
            raise ProductNotFound(product=str(product_id))
        if path is None or not found.is_digital:
            raise NotDigital(product_id=product_id)
        product = await Products(self.context.on(self.db)).update(product_id=product_id, file_path=path)
        await links_of_product_are_due(
            self.db, tenant_id=self.tenant_id, product_id=product_id, since=SENT_WITHIN, rows=DUE_AT_ONCE_MAX
        )
        return product

    @operation
    async def of_order(self, *, order_id: OrderId) -> Sequence[Download]:
        """The digital lines of an order, sent or not. Raises OrderNotFound."""
        found = await queries.downloads_of_order(self.db, tenant_id=self.tenant_id, order_id=order_id, rows=LINES_MAX)
        if not found and not await queries.order_is_there(self.db, tenant_id=self.tenant_id, order_id=order_id):
            raise OrderNotFound(order=str(order_id))
        return found

    @audited("downloads.send", "order", "order_id")
    @transactional
    async def send(self, *, order_id: OrderId) -> Sequence[Download]:
        """Send the links of an order, once more where they were sent: new ones, and the old ones end.

        Raises:
            OrderNotFound: the shop has no such order.
            NothingToSend: it has no digital line with a file, or is not paid, or is not any more.
            SigningSecretMissing: there is no secret to make links with.
        """
        lines = await queries.lines_of_order(self.db, tenant_id=self.tenant_id, order_id=order_id, rows=LINES_MAX)
        if not lines:
            await self.of_order(order_id=order_id)
            raise NothingToSend(order_id=order_id)
        await send_lines(self.context.on(self.db), self._keys, lines)
        return await self.of_order(order_id=order_id)

    # --- For whoever has a link ---------------------------------------------------------------------------------------

    async def open(self, *, token: str) -> File:
        """The file of a link, to be read; counted when the store has it open.

        Raises:
            DownloadNotFound: the link is none of ours, was replaced, or has no file behind it any more.
            DownloadOver: its time is over, it was used as often as it may be, or the order has ended.
            FilesUnavailable: the store does not answer; this is not counted.
        """
        named, link = await self._link(token=token)
        opened = None
        if is_good(self.tenant_id, link.file_path):
            opened = await self.files.open(str(link.file_path))
        if opened is None:
            raise DownloadNotFound
        await self._count(named=named)
        size, chunks = opened
        extension = str(link.file_path).rpartition(".")[2].lower()
        return File(
            name=f"{link.slug}.{extension}",
            content_type=content_type_of(str(link.file_path)),
            size=size,
            chunks=chunks,
        )

    @operation
    async def _link(self, *, token: str) -> tuple[Named, Link]:
        named = named_by(self._keys, token, tenant_id=self.tenant_id)
        link = await queries.link(
            self.db, tenant_id=self.tenant_id, order_item_id=named.order_item_id, generation=named.generation
        )
        if link is None:
            raise DownloadNotFound
        if link.closed:
            raise DownloadOver(why="closed")
        if link.expired:
            raise DownloadOver(why="expired")
        if link.used_up:
            raise DownloadOver(why="used_up")
        return named, link

    @transactional
    async def _count(self, *, named: Named) -> None:
        """Of two who come for the last one, the second is refused."""
        counted = await queries.count_download(
            self.db, tenant_id=self.tenant_id, order_item_id=named.order_item_id, generation=named.generation
        )
        if not counted:
            raise DownloadOver(why="used_up")
