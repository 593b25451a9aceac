"""What a run found: as tables for a terminal, as Markdown for the manual, as JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.lines import Verdict
from bench.measure import Measure, Spread

BEGIN, END = "<!-- measured: python -m bench --markdown -->", "<!-- end of measured -->"
UNITS = {"ms": "ms", "s": "s", "mb": "MB"}


def figure(value: float) -> str:
    """Three digits are all that a benchmark knows."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(found: Spread, unit: str = "") -> str:
    """`0.94 (0.91 to 0.97)`."""
    text = figure(found.median) + (f" {unit}" if unit else "")
    return text if found.low == found.high else f"{text} ({figure(found.low)} to {figure(found.high)})"


def _verdict_rows(verdicts: Iterable[Verdict]) -> list[list[str]]:
    return [
        [
            verdict.line.name,
            verdict.line.what,
            verdict.line.against or "",
            spread(verdict.spread, verdict.line.unit),
            f"{'at most' if verdict.line.at_most else 'at least'} {verdict.line.target:g} {verdict.line.unit}".strip(),
            "met" if verdict.met else "missed",
        ]
        for verdict in verdicts
    ]


def _seen_rows(found: Mapping[str, Sequence[Measure]]) -> list[list[str]]:
    rows = []
    for name, measures in found.items():
        seen = {key: Spread.of([measure.seen[key] for measure in measures]).median for key in measures[0].seen}
        notes = ", ".join(
            f"{key.replace('_us', '').replace('_ms', '').replace('_mb', '').replace('_', ' ')} {figure(value)}{unit}"
            for key, value in seen.items()
            if (unit := _unit(key)) is not None
        )
        rows.append([name, spread(Spread.of([measure.value for measure in measures])), notes])
    return rows


def _unit(key: str) -> str | None:
    if key.startswith("cores_"):
        return None  # the JSON has them; the time for each call says the same
    for ending, unit in (("_us", " µs"), ("_ms", " ms"), ("_mb", " MB")):
        if key.endswith(ending):
            return unit
    return ""


VERDICT_HEADS = ("line", "what", "against", "median (range)", "target", "")
SEEN_HEADS = ("measured", "median (range)", "also seen, medians")


def show(
    console: Console, facts: Mapping[str, str], verdicts: Sequence[Verdict], found: Mapping[str, Sequence[Measure]]
) -> None:
    """The tables, on a terminal."""
    for name, value in facts.items():
        console.print(f"[bold]{name}[/bold] {value}", highlight=False)
    for title, heads, rows in (
        ("Ratios", VERDICT_HEADS, _verdict_rows(verdicts)),
        ("What was measured", SEEN_HEADS, _seen_rows(found)),
    ):
        table = Table(*heads, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row, style="red" if row[-1] == "missed" else None)
        console.print(table)


def as_json(
    facts: Mapping[str, str],
    verdicts: Sequence[Verdict],
    found: Mapping[str, Sequence[Measure]],
    arguments: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything, each round too."""
    return {
        "machine": dict(facts),
        "arguments": dict(arguments),
        "lines": [
            {
                "name": verdict.line.name,
                "what": verdict.line.what,
                "subject": verdict.line.subject,
                "against": verdict.line.against,
                "median": verdict.spread.median,
                "min": verdict.spread.low,
                "max": verdict.spread.high,
                "unit": verdict.line.unit or "ratio",
                "target": verdict.line.target,
                "at": "most" if verdict.line.at_most else "least",
                "met": verdict.met,
            }
            for verdict in verdicts
        ],
        "measured": {
            name: [{"value": measure.value, **measure.seen} for measure in measures] for name, measures in found.items()
        },
    }


def write_markdown(
    file: Path, facts: Mapping[str, str], verdicts: Sequence[Verdict], found: Mapping[str, Sequence[Measure]]
) -> None:
    """Put the tables between the marks of a page; what stands around them stays."""
    page = file.read_text("utf-8") if file.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{file} has no place for the tables: {BEGIN} … {END}")
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        _markdown(VERDICT_HEADS, _verdict_rows(verdicts)),
        _markdown(SEEN_HEADS, _seen_rows(found)),
    ]
    file.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", "utf-8")


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
