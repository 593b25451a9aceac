"""Proofs: known by what they contain, kept in a folder or a bucket, read back by staff."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import obstore
import pytest
from moto.server import ThreadedMotoServer
from till import PNG, Till

from storeroom.core.ids import PaymentId, TenantId, new_id
from storeroom.payments import (
    PROOF_BYTES_MAX,
    FilesMisconfigured,
    FilesUnavailable,
    PaymentMoveRefused,
    Payments,
    PaymentStatus,
    ProofNotAccepted,
    ProofNotFound,
    ProofStore,
)
from storeroom.payments.proofs import content_type

S = PaymentStatus
FILES = {
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "image/png": PNG,
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "image/heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_what_it_begins_with(kind: str) -> None:
    assert content_type(FILES[kind]) == kind


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"<html><script>alert(1)</script>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\x00\x00\x00\x18ftypmp42",
        b"PK\x03\x04",
        b"\x89PN",
        b"MZ" + b"%PDF-1.7",
    ],
)
def test_anything_else_is_no_proof(file: bytes) -> None:
    with pytest.raises(ProofNotAccepted):
        content_type(file)


def test_a_proof_has_a_largest_size() -> None:
    largest = PNG + bytes(PROOF_BYTES_MAX - len(PNG))
    assert content_type(largest) == "image/png"
    with pytest.raises(ProofNotAccepted):
        content_type(largest + b"\x00")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server with a bucket `shop-files`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    httpx.put(f"{address}/shop-files", timeout=120).raise_for_status()  # the first request loads a good deal
    yield address
    server.stop()


@pytest.fixture(params=["folder", "folder by URL", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProofStore:
    if request.param == "folder":
        return ProofStore.at(str(tmp_path / "deep" / "files"))
    if request.param == "folder by URL":
        return ProofStore.at((tmp_path / "a folder").as_uri())
    use_bucket(monkeypatch, request.getfixturevalue("s3"))
    return ProofStore.at("s3://shop-files/proofs/here")


def use_bucket(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "shop",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)


async def read(opened: object) -> bytes:
    assert isinstance(opened, tuple)
    return b"".join([chunk async for chunk in opened[1]])


async def test_every_store_gives_back_what_it_got(store: ProofStore) -> None:
    file = PNG + os.urandom(3_000_000)
    payment = PaymentId(new_id())
    kept = await store.put(file, tenant_id=TenantId("shop_1"), payment_id=payment)
    assert kept.path.startswith(f"shop_1/payments/{payment}/")
    assert (kept.path[-4:], kept.content_type) == (".png", "image/png")
    opened = await store.open(kept.path)
    assert opened is not None
    assert opened[0] == len(file)
    assert await read(opened) == file
    assert await store.open("shop_1/payments/nothing.png") is None
    again = await store.put(file, tenant_id=TenantId("shop_1"), payment_id=payment)
    assert again.path != kept.path


async def test_a_bucket_keeps_the_files_under_its_prefix(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_bucket(monkeypatch, s3)
    kept = await ProofStore.at("s3://shop-files/a/b").put(PNG, tenant_id=TenantId("t"), payment_id=PaymentId(new_id()))
    assert await read(await ProofStore.at("s3://shop-files").open(f"a/b/{kept.path}")) == PNG


def test_the_folder_is_nobody_elses_business(tmp_path: Path) -> None:
    ProofStore.at(str(tmp_path / "files"))
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700


async def test_the_environment_names_the_store(tmp_path: Path) -> None:
    default = ProofStore.from_environment({"STOREROOM_DATA_DIR": str(tmp_path / "data")})
    kept = await default.put(PNG, tenant_id=TenantId("t"), payment_id=PaymentId(new_id()))
    assert (tmp_path / "data" / "files" / kept.path).read_bytes() == PNG
    named = ProofStore.from_environment({"STOREROOM_FILES_URL": str(tmp_path / "elsewhere")})
    kept = await named.put(PNG, tenant_id=TenantId("t"), payment_id=PaymentId(new_id()))
    assert (tmp_path / "elsewhere" / kept.path).exists()


@pytest.mark.parametrize("url", ["ftp://host/files", "s3://", "https://bucket.example", "file:///dev/null/files"])
def test_a_store_that_is_none_is_a_setting_to_mend(url: str) -> None:
    with pytest.raises(FilesMisconfigured):
        ProofStore.at(url)


@pytest.mark.requirement("SBB-PAY-04", "SBB-REC-03", "SBB-PA-02")
async def test_staff_read_the_file_that_the_customer_sent(till: Till) -> None:
    payment = await till.pending()
    sent = await till.payments.submit_proof(
        reference=payment.reference, file=PNG, customer_reference="Z-1", notes="see"
    )
    assert (sent.status, sent.proof_content_type) == (S.AWAITING_VERIFICATION, "image/png")
    proof = await till.payments.open_proof(payment_id=payment.id)
    assert (proof.content_type, proof.size) == ("image/png", len(PNG))
    assert b"".join([chunk async for chunk in proof.chunks]) == PNG
    assert await till.log(payment.id) == [
        (1, "customer_submit", "initiated", "admin"),
        (2, "customer_submit", "submitted", "admin"),
    ]
    begun, done = await till.payments.attempts(payment_id=payment.id)
    assert begun.request_data == {"content_type": "image/png", "size": len(PNG)}
    assert done.request_data is not None
    assert done.request_data["file"]["content_type"] == "image/png"


@pytest.mark.requirement("SBB-PA-02", "SBB-PA-03")
async def test_start_upload_rejection_and_verification_show_the_four_states_of_an_attempt(till: Till) -> None:
    payment = await till.pending()
    await till.payments.submit_proof(reference=payment.reference, file=PNG)
    await till.payments.reject(payment_id=payment.id, reason="cannot be read")
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    await till.payments.verify(payment_id=payment.id)
    assert [(action, status) for _, action, status, _ in await till.log(payment.id)] == [
        ("customer_submit", "initiated"),
        ("customer_submit", "submitted"),
        ("admin_reject", "failed"),
        ("customer_submit", "submitted"),
        ("admin_verify", "verified"),
    ]
    kept = await till.payments.open_proof(payment_id=payment.id)
    assert kept.content_type == "image/png", "a later word without a file does not take the file away"


async def test_a_file_that_is_no_proof_leaves_nothing(till: Till, tmp_path: Path) -> None:
    payment = await till.pending()
    with pytest.raises(ProofNotAccepted):
        await till.payments.submit_proof(reference=payment.reference, file=b"<html>", customer_reference="Z-1")
    assert await till.payments.get(payment_id=payment.id) == payment
    assert await till.log(payment.id) == []
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


async def test_a_payment_that_takes_no_proof_gets_no_file_stored(till: Till, tmp_path: Path) -> None:
    payment = await till.pending()
    await till.payments.cancel(payment_id=payment.id)
    with pytest.raises(PaymentMoveRefused):
        await till.payments.submit_proof(reference=payment.reference, file=PNG)
    assert await till.log(payment.id) == []
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


async def test_a_store_that_does_not_answer_leaves_the_payment_pending(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        use_bucket(monkeypatch, f"http://127.0.0.1:{closed.getsockname()[1]}")
        store = ProofStore.at("s3://shop-files/proofs")
        payment = await till.pending()
        with pytest.raises(FilesUnavailable) as refused:
            await Payments(till.context, files=store).submit_proof(reference=payment.reference, file=PNG)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (await till.payments.get(payment_id=payment.id)).status is S.PENDING
    assert await till.log(payment.id) == [(1, "customer_submit", "initiated", "admin")]
    await till.payments.submit_proof(reference=payment.reference, file=PNG)
    assert (await till.payments.get(payment_id=payment.id)).status is S.AWAITING_VERIFICATION


async def test_a_file_is_never_stored_inside_a_transaction(till: Till) -> None:
    payment = await till.pending()
    async with till.db.transaction() as tx:
        with pytest.raises(TypeError, match="outside of any transaction"):
            await till.payments.bound(tx).submit_proof(reference=payment.reference, file=PNG)
    assert await till.log(payment.id) == []


async def test_a_payment_without_a_file_and_a_file_that_was_lost(till: Till) -> None:
    payment = await till.pending()
    with pytest.raises(ProofNotFound):
        await till.payments.open_proof(payment_id=payment.id)
    await till.payments.submit_proof(reference=payment.reference, file=PNG)
    path = await till.one("SELECT proof_file_path FROM {payments} WHERE tenant_id = $1")
    await obstore.delete_async(till.files._store, path)
    with pytest.raises(ProofNotFound):
        await till.payments.open_proof(payment_id=payment.id)
