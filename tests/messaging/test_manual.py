"""docs/notices.md names every kind and all that its templates may say."""

from pathlib import Path

from storeroom.notices import KINDS

MANUAL = Path(__file__).parents[2] / "docs" / "notices.md"


def test_the_manual_has_every_kind_and_variable() -> None:
    rows = {
        row.split("`")[1]: row
        for row in MANUAL.read_text().splitlines()
        if row.startswith("| `") and row.count("|") == 6
    }
    for kind in KINDS.values():
        row = rows[kind.name]
        said = [*kind.variables, *(each for variable in kind.variables for each in variable.row)]
        assert [each.name for each in said if f"`{each.name}`" not in row] == []
        assert ("| yes |" in row) is kind.switchable
