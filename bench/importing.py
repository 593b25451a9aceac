"""Importing a Shopify product CSV with `storeroom import shopify`, in a process of its own."""

import asyncio
import csv
import os
import subprocess
import time
from pathlib import Path

from bench.ground import Ground
from bench.measure import BenchFailed, Measure, Subject
from bench.serving import STOREROOM, environment_of

VARIANTS = 4  # rows of one product
SAMPLE_S = 0.02
TIMEOUT_S = 1800.0
_HEAD = """\
Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Option3 Name,\
Option3 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,\
Variant Fulfillment Service,Variant Price,Variant Compare At Price,Variant Requires Shipping,Variant Taxable,\
Variant Barcode,Image Src,Image Position,Image Alt Text,Status"""


def write_csv(file: Path, rows: int) -> None:
    """A catalogue as Shopify exports it: the first row of a product says what is the product's, all say a variant."""
    with file.open("w", encoding="utf-8", newline="") as output:
        writer = csv.DictWriter(output, _HEAD.split(","), restval="")
        writer.writeheader()
        for number in range(rows):
            product, size = divmod(number, VARIANTS)
            row = {
                "Handle": f"shirt-{product}",
                "Option1 Value": ("Small", "Medium", "Large", "Extra large")[size],
                "Variant SKU": f"SHIRT-{product}-{size}",
                "Variant Grams": "200",
                "Variant Inventory Tracker": "shopify",
                "Variant Inventory Qty": str(number % 100),
                "Variant Inventory Policy": "deny",
                "Variant Fulfillment Service": "manual",
                "Variant Price": f"{10 + number % 90}.50",
                "Variant Requires Shipping": "true",
                "Variant Taxable": "true",
            }
            if size == 0:
                row |= {
                    "Title": f"Shirt {product}",
                    "Body (HTML)": f"<p>A shirt of soft cotton, the {product}th of its kind.</p>",
                    "Vendor": "The bench",
                    "Type": "Shirts",
                    "Tags": "cotton, summer",
                    "Published": "true",
                    "Option1 Name": "Size",
                    "Image Src": f"https://shop.example/images/shirt-{product}.jpg",
                    "Image Position": "1",
                    "Status": "active",
                }
            writer.writerow(row)


async def importing(ground: Ground, *, rows: int) -> Subject:
    """The most memory that the import held, in MB; each time into a shop of its own."""
    file = ground.folder / "catalogue.csv"
    await asyncio.to_thread(write_csv, file, rows)
    number = 0

    async def measure(_: float) -> Measure:
        nonlocal number
        number += 1
        dsn = await ground.new_shop(f"import_{number}")
        environment = environment_of(0, data=ground.folder / "served", dsn=dsn)
        return await asyncio.to_thread(
            run, [STOREROOM, "import", "shopify", str(file)], environment, ground.folder, rows
        )

    return measure


def run(command: list[str], environment: dict[str, str], folder: Path, rows: int) -> Measure:
    """Run it, and watch the high-water mark of its resident memory."""
    log = folder / "import.log"
    peak_kb = 0
    begun = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while process.poll() is None:
            if time.perf_counter() - begun > TIMEOUT_S:
                raise BenchFailed(f"the import took longer than {TIMEOUT_S:g} s")
            peak_kb = max(peak_kb, high_water_kb(process.pid))
            time.sleep(SAMPLE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    passed = time.perf_counter() - begun
    if process.returncode != 0:
        raise BenchFailed(f"the import failed:\n{log.read_text('utf-8', 'replace')[-3000:]}")
    return Measure(peak_kb * 1024 / 1e6, {"rows_per_s": rows / passed, "seconds": passed})


def high_water_kb(pid: int) -> int:
    """VmHWM: of the program itself, not of what it was forked from; 0 once it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:")), 0)
