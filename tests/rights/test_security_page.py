"""The checklist names tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
NAMED = re.compile(r"`(?:(?P<file>[\w/]+\.py)(?:::(?P<test>test_\w+))?|(?P<alone>test_\w+))`")


def named() -> list[tuple[str, str | None]]:
    found, file = [], ""
    for match in NAMED.finditer(PAGE.read_text()):
        file = match["file"] or file  # a test without a file is of the file named before
        found.append((file.removeprefix("tests/"), match["test"] or match["alone"]))
    return found


def test_the_page_names_tests() -> None:
    assert len(named()) > 60


@pytest.mark.parametrize(("file", "test"), sorted(set(named()), key=str))
def test_each_of_them_is_there(file: str, test: str | None) -> None:
    text = (TESTS / file).read_text()
    assert test is None or re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), test
