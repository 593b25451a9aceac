"""The queue's curve, with so few rows that it says nothing of speed."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.draining import TENTHS, TIMES, Sink, as_measures, curves
from bench.ground import Ground
from bench.lines import LINES
from bench.measure import BenchFailed

from bench import lines
from storeroom.database.embedded import EmbeddedPostgres


async def test_every_row_is_brought_in_each_of_the_three(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    said: list[str] = []
    found = await curves(Ground(tmp_path, postgres, 0), 200, said.append)
    assert [len(curve) for curve in found] == [TENTHS] * 3 and len(said) == 3
    assert all(rate > 0 for curve in found for rate in curve)
    with pytest.raises(BenchFailed, match="1 rows were brought, and 200 were queued"):
        await (sink := Sink(200)).carry(None, None)  # type: ignore[arg-type]
        sink.rates()


def test_the_line_compares_the_ends_of_each_curve() -> None:
    flat, sagging = [100.0] * TENTHS, [100.0] * 8 + [25.0, 100.0]
    found = as_measures([flat, flat, sagging])
    (line,) = [line for line in LINES if line.name == "drain"]
    assert line.judged(found).spread.low == pytest.approx(0.4)
    assert found[f"{lines.DRAINED}, {TIMES[2]}"][0].seen["90 %"] == 25.0
