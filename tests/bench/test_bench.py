"""What the bench says of its figures; that it runs, `python -m bench --smoke` shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.importing import write_csv
from bench.lines import LINES, Line
from bench.measure import Measure
from bench.report import BEGIN, END, write_markdown


def measures(*values: float) -> list[Measure]:
    return [Measure(value, {"p50_ms": value}) for value in values]


@pytest.mark.parametrize(
    ("ours", "reference", "at_most", "median", "met"),
    [
        ((90, 100, 110), (100, 100, 100), False, 1.0, True),
        ((80, 89, 200), (100, 100, 100), False, 0.89, False),
        ((300, 50, 60), (100, 100, 100), True, 0.6, True),
        ((91, 92, 93), (100, 100, 100), True, 0.92, False),
    ],
)
def test_a_ratio_is_taken_round_by_round(ours, reference, at_most, median, met) -> None:
    line = Line("x", "something", "ours", 0.9, "theirs", at_most=at_most)
    verdict = line.judged({"ours": measures(*ours), "theirs": measures(*reference)})
    assert verdict.spread.median == pytest.approx(median)
    assert verdict.met is met
    assert verdict.spread.low <= verdict.spread.median <= verdict.spread.high


def test_every_line_has_a_name_of_its_own() -> None:
    assert len({line.name for line in LINES}) == len(LINES)


def test_the_tables_replace_what_stood_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Benchmarks\n\nBefore.\n\n{BEGIN}\nstale\n{END}\n\nAfter.\n", "utf-8")
    line = Line("memory", "what it holds", "ours", 120.0, at_most=True, unit="MB")
    found = {"ours": measures(77.2)}
    write_markdown(page, {"machine": "two cores"}, [line.judged(found)], found)
    text = page.read_text("utf-8")
    assert "stale" not in text
    assert "| memory | what it holds |  | 77.2 MB | at most 120 MB | met |" in text
    assert text.startswith("# Benchmarks\n\nBefore.\n\n") and text.endswith(f"{END}\n\nAfter.\n")


def test_the_catalogue_has_the_rows_that_were_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.csv"
    write_csv(file, 10)
    lines = file.read_text("utf-8").splitlines()
    assert len(lines) == 11
    assert lines[1].startswith("shirt-0,Shirt 0,") and lines[2].startswith("shirt-0,,")
