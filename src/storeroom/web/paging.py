"""The parameters of a list: `cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT`.

A list answers with `core.pages.Page`: `{"items": […], "next_cursor": "…" | null}`.
"""

from typing import Annotated

from litestar.params import QueryParameter

from storeroom.core.pages import CURSOR_LENGTH_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX

__all__ = ["PAGE_SIZE_DEFAULT", "CursorParameter", "LimitParameter"]

CursorParameter = Annotated[
    str | None,
    QueryParameter(
        description="`next_cursor` of the page before; none for the first page.",
        min_length=1,
        max_length=CURSOR_LENGTH_MAX,
    ),
]
LimitParameter = Annotated[int, QueryParameter(description="Rows on a page.", ge=1, le=PAGE_SIZE_MAX)]
