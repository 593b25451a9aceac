"""A bar on standard error, where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[int, int | None, str], None]


@contextmanager
def progress_bar(what: str, *, hidden: bool = False) -> Iterator[Step]:
    """Give a function that moves the bar to so many of so many, with a word beside it.

    Nothing is drawn where standard error is no terminal.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, said="")

        def step(done: int, of: int | None, said: str) -> None:
            bar.update(task, completed=done, total=of, said=said)

        yield step
