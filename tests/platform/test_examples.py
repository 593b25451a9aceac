"""Calls that the manual shows exist, and take what they are shown with."""

import ast
import inspect
import re
import typing
from functools import cached_property
from pathlib import Path

import pytest

from storeroom.room import Shop

DOCS = Path(__file__).parents[2] / "docs"
# In a block of code on one line, or in the text.
CALL = re.compile(
    r"^ {4,}(?:[^`\n]*[ (=])?(shop\.\w+\.\w+\([^`\n]*\))|`(?:await )?(shop\.\w+\.\w+\([^`()]+\))`", re.MULTILINE
)


def calls() -> list[tuple[str, str]]:
    return [
        (page.name, call)
        for page in sorted(DOCS.glob("*.md"))
        for found in CALL.findall(page.read_text())
        for call in found
        if call
    ]


@pytest.mark.parametrize(("page", "call"), calls())
def test_a_call_that_is_shown_fits(page: str, call: str) -> None:
    outer = ast.parse(call.replace("…", "..."), mode="eval").body
    shown = [
        each
        for each in ast.walk(outer)
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and isinstance(each.func.value, ast.Attribute)
        and isinstance(each.func.value.value, ast.Name)
        and each.func.value.value.id == "shop"
    ]
    assert shown
    for each in shown:
        assert isinstance(each.func, ast.Attribute) and isinstance(each.func.value, ast.Attribute)
        member = vars(Shop)[each.func.value.attr]
        assert isinstance(member, cached_property)
        method = getattr(typing.get_type_hints(member.func)["return"], each.func.attr)
        given = {str(keyword.arg): None for keyword in each.keywords}
        if [ast.unparse(argument) for argument in each.args] != ["..."]:  # which leaves them all to the reader
            inspect.signature(method).bind(None, *each.args, **given)


def test_there_are_examples() -> None:
    assert len(calls()) > 5
