"""`python -m bench`: measure all lines in one run, say what came out. A missed target is said, not an exit status."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from rich.console import Console
from rich.status import Status

from bench import draining, events, history, lines, orders, payments, serving, signing_in
from bench.ground import Ground, prepared
from bench.importing import importing
from bench.lines import LINES, Line
from bench.machine import load, machine
from bench.measure import BenchFailed, Measure, Subject, rounds_of
from bench.report import as_json, show, write_markdown
from storeroom.flows.checkout import Checkout
from storeroom.room import Storeroom

ROUNDS, SECONDS = 5, 5.0
SMOKE_ROUNDS, SMOKE_SECONDS = 1, 1.0
ORDERS_BEFORE, SMOKE_ORDERS_BEFORE = 5_000_000, 20_000
IMPORT_ROWS, SMOKE_IMPORT_ROWS = 100_000, 2_000
WIDTH = 140  # where no terminal says otherwise
SMOKE_DRAINED_ROWS = 2_000
IMPORTS_MAX = 3  # rounds of the import, which takes its time

Found = Mapping[str, list[Measure]]


class Run:
    """One run over the lines that were asked for."""

    def __init__(self, arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
        self.smoke: bool = arguments.smoke
        self.rounds: int = arguments.rounds or (SMOKE_ROUNDS if self.smoke else ROUNDS)
        self.seconds: float = arguments.seconds or (SMOKE_SECONDS if self.smoke else SECONDS)
        self.lines = [line for line in LINES if wanted(line, arguments)]
        self.found: dict[str, list[Measure]] = {}
        self.facts: dict[str, str] = {}
        self._say = say
        self._needed = {name for line in self.lines for name in (line.subject, line.against) if name is not None}

    async def everything(self, ground: Ground) -> None:
        """All stages, each with what it needs and nothing else running."""
        await self._stage(ground, self._orders)
        await self._stage(ground, self._http)
        await self._stage(ground, self._events)
        await self._stage(ground, self._queues)
        await self._stage(ground, self._drain)
        await self._stage(ground, self._payments)
        await self._stage(ground, self._sign_in)
        await self._stage(ground, self._memory)
        await self._stage(ground, self._many_orders)
        await self._stage(ground, self._cold)
        await self._stage(ground, self._import)

    async def _stage(self, ground: Ground, stage: Callable[[Ground, AsyncExitStack], Awaitable[None]]) -> None:
        async with AsyncExitStack() as stack:
            await stage(ground, stack)

    async def _measure(
        self, subjects: Mapping[str, Subject], *, rounds: int | None = None, warm_up: bool = True
    ) -> None:
        self.found |= await rounds_of(
            {name: subject for name, subject in subjects.items() if name in self._needed},
            rounds=rounds or self.rounds,
            seconds=self.seconds,
            say=self._say,
            warm_up=warm_up,
        )

    def _needs(self, *names: str) -> bool:
        return not self._needed.isdisjoint(names)

    async def _orders(self, ground: Ground, stack: AsyncExitStack) -> None:
        names = (
            lines.PGBENCH,
            lines.UNGROUPED,
            lines.GROUPED,
            lines.CROWD,
            lines.CROWD_ON_ONE,
            lines.COUPON_ORDERS,
            lines.LONE,
            lines.LONE_GROUPED,
        )
        if not self._needs(*names):
            return
        alone, grouped = await _checkouts(ground.dsn, stack)
        script = await orders.write_script(ground)
        await orders.check_equal(ground, script, alone)
        python, count_use = orders.through_python, await orders.plant_coupon(ground)
        await self._measure(
            {
                lines.PGBENCH: orders.by_pgbench(ground, script),
                lines.UNGROUPED: python(ground, alone, callers=orders.CALLERS),
                lines.GROUPED: python(ground, grouped, callers=orders.CALLERS),
                lines.COUPON_ORDERS: python(ground, grouped, callers=orders.CALLERS, coupon=orders.COUPON),
                lines.COUPON_BARE: orders.by_pgbench(ground, count_use),
                lines.CROWD: python(ground, grouped, callers=orders.CROWD),
                lines.CROWD_ON_ONE: python(ground, grouped, callers=orders.CROWD, spread=False),
                lines.LONE: orders.p50_of(python(ground, alone, callers=1)),
                lines.LONE_GROUPED: orders.p50_of(python(ground, grouped, callers=1)),
            }
        )

    async def _http(self, ground: Ground, stack: AsyncExitStack) -> None:
        if not self._needs(lines.LIST, lines.HTTP):
            return
        dsn = await ground.new_shop("served")
        server = await stack.enter_async_context(serving.storeroom(ground, dsn))
        subjects: dict[str, Subject] = {}
        if self._needs(lines.LIST):
            bare = await stack.enter_async_context(serving.reference(ground, dsn))
            await serving.check_equal(server, bare)
            subjects[lines.LIST_BARE] = serving.reading(ground, bare)
            subjects[lines.LIST] = serving.reading(ground, server)
        if self._needs(lines.HTTP):
            alone, _ = await _checkouts(dsn, stack)
            subjects[lines.BESIDE_HTTP] = orders.through_python(ground, alone, callers=orders.CALLERS)
            subjects[lines.HTTP] = serving.buying(ground, server)
        await self._measure({name: serving.settled(dsn, subject) for name, subject in subjects.items()})

    async def _events(self, ground: Ground, stack: AsyncExitStack) -> None:
        if not self._needs(lines.EVENTS):
            return
        dsn = await ground.new_shop("watched")
        told = await events.Told.to(dsn)
        server = await stack.enter_async_context(serving.storeroom(ground, dsn))
        await events.check_equal(server, dsn, told)
        copying = await stack.enter_async_context(events.copying(ground, dsn, told))
        await self._measure({lines.EVENTS_COPIED: copying, lines.EVENTS: events.taking(ground, server, told)})

    async def _queues(self, ground: Ground, stack: AsyncExitStack) -> None:
        if not self._needs(lines.QUEUE):
            return
        from bench import queues  # noqa: PLC0415  # the two others are no dependencies of ours

        await self._measure(
            {
                lines.QUEUE: await stack.enter_async_context(queues.ours(ground)),
                lines.QUEUE_PGQUEUER: await stack.enter_async_context(queues.pgqueuer(ground)),
                lines.QUEUE_PROCRASTINATE: await stack.enter_async_context(queues.procrastinate(ground)),
            }
        )

    async def _drain(self, ground: Ground, _: AsyncExitStack) -> None:
        if self._needs(lines.DRAINED_LAST):
            rows = SMOKE_DRAINED_ROWS if self.smoke else draining.ROWS
            self.facts["rows drained"] = f"{rows:,}, three times"
            self.found |= draining.as_measures(await draining.curves(ground, rows, self._say))

    async def _payments(self, ground: Ground, stack: AsyncExitStack) -> None:
        if not self._needs(lines.PAYMENTS):
            return
        room = await stack.enter_async_context(Storeroom.open(ground.dsn))
        shop = room.tenant()
        await payments.open_account(shop)
        await payments.check_equal(ground, shop.transactions)
        await self._measure(
            {
                lines.PAYMENTS_BARE: orders.by_pgbench(ground, payments.SCRIPT),
                lines.PAYMENTS: payments.through_python(ground, shop.transactions),
            }
        )

    async def _sign_in(self, ground: Ground, stack: AsyncExitStack) -> None:
        if not self._needs(lines.SIGN_IN):
            return
        dsn = await ground.new_shop("entered")
        password_hash = await stack.enter_async_context(signing_in.people(dsn))
        server = await stack.enter_async_context(serving.storeroom(ground, dsn, STOREROOM_TRUSTED_PROXIES="1"))
        await signing_in.check_equal(server, password_hash)
        verifying = await stack.enter_async_context(signing_in.verifying(password_hash))
        await self._measure({lines.VERIFY: verifying, lines.SIGN_IN: signing_in.signing_in(ground, server)})

    async def _memory(self, ground: Ground, stack: AsyncExitStack) -> None:
        if self._needs(lines.MEMORY):
            dsn = await ground.new_shop("remembered")
            server = await stack.enter_async_context(serving.storeroom(ground, dsn))
            await self._measure({lines.MEMORY: serving.under_load(ground, server)})

    async def _many_orders(self, ground: Ground, stack: AsyncExitStack) -> None:
        if not self._needs(lines.FILLED):
            return
        empty, filled = await ground.new_shop("empty"), await ground.new_shop("filled")
        before = SMOKE_ORDERS_BEFORE if self.smoke else ORDERS_BEFORE
        size = await history.fill(filled, before, self._say)
        self.facts["orders before"] = f"{before:,}, a database of {size / 2**30:.1f} GiB"
        subjects = {}
        for name, dsn in ((lines.EMPTY, empty), (lines.FILLED, filled)):
            alone, _ = await _checkouts(dsn, stack)
            subjects[name] = orders.through_python(ground, alone, callers=orders.CALLERS)
        await self._measure(subjects)

    async def _cold(self, ground: Ground, _: AsyncExitStack) -> None:
        if self._needs(lines.COLD):
            await self._measure({lines.COLD: await serving.cold_starts(ground)}, warm_up=False)

    async def _import(self, ground: Ground, _: AsyncExitStack) -> None:
        if self._needs(lines.IMPORT):
            rows = SMOKE_IMPORT_ROWS if self.smoke else IMPORT_ROWS
            self.facts["rows imported"] = f"{rows:,}"
            rounds = min(self.rounds, IMPORTS_MAX)
            await self._measure({lines.IMPORT: await importing(ground, rows=rows)}, rounds=rounds, warm_up=False)


async def _checkouts(dsn: str, stack: AsyncExitStack) -> tuple[Checkout, Checkout]:
    """The shop's checkout without and with grouping, on a pool of 8 each."""
    alone = await stack.enter_async_context(Storeroom.open(dsn, grouping=False))
    grouped = await stack.enter_async_context(Storeroom.open(dsn))
    return alone.tenant().checkout, grouped.tenant().checkout


def wanted(line: Line, arguments: argparse.Namespace) -> bool:
    """Whether a line was asked for; filling five million orders takes minutes, so it has to be asked for."""
    if arguments.only:
        return line.name in arguments.only
    return line.name != "five-million" or arguments.five_million or arguments.smoke


def parser() -> argparse.ArgumentParser:
    """The command line."""
    names = [line.name for line in LINES]
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--only", type=_names(names), metavar="NAMES", help=f"of these lines alone: {', '.join(names)}")
    made.add_argument("--rounds", type=_positive(int), help=f"of each measurement; {ROUNDS}")
    made.add_argument("--seconds", type=_positive(float), help=f"of each measurement; {SECONDS:g}")
    made.add_argument(
        "--five-million", action="store_true", help="also fill a table with five million orders (minutes, 15 GB)"
    )
    made.add_argument("--smoke", action="store_true", help="everything very short: shows that it runs, not how fast")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables between the marks of a page")
    return made


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no line is called {unknown[0]}; they are {', '.join(known)}")
        return names

    return parse


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError("more than nothing")
        return value

    return parse


async def measured(run: Run) -> None:
    """Do all of it."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # put everything away first
    async with prepared() as ground:
        run.facts |= await machine(ground.dsn)
        run.facts["rounds"] = f"{run.rounds} of {run.seconds:g} s" + ", a smoke run: says nothing of speed" * run.smoke
        await run.everything(ground)
        run.facts["load after"] = load()


def main() -> int:
    """Exit status 1 where the bench broke."""
    arguments = parser().parse_args()
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = WIDTH
    with Status("starting", console=progress) as status:

        def say(text: str) -> None:
            status.update(text)
            if not progress.is_terminal:
                progress.print(text, highlight=False)

        run = Run(arguments, say)
        try:
            uvloop.run(measured(run))
        except BenchFailed as failed:
            progress.print(f"the bench broke: {failed}", markup=False, highlight=False)
            return 1
        except (asyncio.CancelledError, KeyboardInterrupt):
            progress.print("stopped before the end", highlight=False)
            return 1
    verdicts = [line.judged(run.found) for line in run.lines]
    show(console, run.facts, verdicts, run.found)
    if arguments.json:
        given = {"rounds": run.rounds, "seconds": run.seconds, "smoke": run.smoke}
        arguments.json.write_text(json.dumps(as_json(run.facts, verdicts, run.found, given), indent=2) + "\n", "utf-8")
    if arguments.markdown:
        write_markdown(arguments.markdown, run.facts, verdicts, run.found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
