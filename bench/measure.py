"""Measuring: callers in a closed loop, who used the processors, and what several rounds say together."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Self

import psutil

WARM_UP_S = 1.0
PAUSE_BETWEEN_S = 0.1  # the one before has its last commits and answers behind it
CALLS_KEPT_MAX = 2_000_000  # latencies of one measurement


class BenchFailed(Exception):
    """Something of the bench itself broke: no figure of this run counts."""


@dataclass(frozen=True)
class Measure:
    """One measurement: the value its line compares, and what else was seen."""

    value: float
    seen: Mapping[str, float] = field(default_factory=dict)


Subject = Callable[[float], Coroutine[Any, Any, Measure]]  # asked to work for so many seconds


@dataclass(frozen=True)
class Spread:
    """What several rounds say."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        return cls(median(values), min(values), max(values))


class Processors:
    """Processor time by who used it, since it was made."""

    def __init__(self, trees: Mapping[str, int], *, here: str | None = None, ended: str | None = None) -> None:
        """Watch.

        Args:
            trees: a name for all processes from each pid downwards.
            here: a name for this process alone.
            ended: a name for the children of this process that will have ended.
        """
        self._trees, self._here, self._ended = dict(trees), here, ended
        self._before = self._used_s()
        self._begun = time.perf_counter()

    def spent_s(self) -> dict[str, float]:
        """Seconds of a processor that each has used."""
        return {name: used - self._before[name] for name, used in self._used_s().items()}

    def seen(self, calls: float) -> dict[str, float]:
        """What each spent on a call, and the processors it kept busy: `2 cores` is 2.0."""
        passed = time.perf_counter() - self._begun
        spent = self.spent_s()
        by_call = {f"{name}_us": used / calls * 1e6 for name, used in spent.items()}
        return by_call | {f"cores_{name}": used / passed for name, used in spent.items()}

    def _used_s(self) -> dict[str, float]:
        used = {name: _tree_s(pid) for name, pid in self._trees.items()}
        if self._here is not None:
            used[self._here] = time.process_time()
        if self._ended is not None:
            times = os.times()
            used[self._ended] = times.children_user + times.children_system
        return used


def _tree_s(pid: int) -> float:
    """By the process, the children it has reaped, and all that live below it."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
            if process.pid == pid:
                total += times.children_user + times.children_system
    except psutil.NoSuchProcess as error:
        raise BenchFailed(f"process {pid} is gone in the middle of a measurement") from error
    return total


async def closed_loop(callers: int, seconds: float, call: Callable[[], Awaitable[Any]]) -> tuple[float, list[float]]:
    """Let so many callers call again and again; calls a second, and every latency in seconds, sorted.

    What was begun in time is counted when it ends, and the time runs until the last has ended.
    """
    latencies: list[float] = []
    begun = time.perf_counter()
    until = begun + seconds

    async def caller() -> None:
        at = time.perf_counter()
        while at < until and len(latencies) < CALLS_KEPT_MAX:
            await call()
            ended = time.perf_counter()
            latencies.append(ended - at)
            at = ended

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    passed = time.perf_counter() - begun
    if not latencies:
        raise BenchFailed(f"not one call ended within {seconds:g} s")
    latencies.sort()
    return len(latencies) / passed, latencies


def latency(latencies: list[float]) -> dict[str, float]:
    """Of sorted latencies in seconds: what half of the calls, and what all but one in a hundred stay below."""
    return {
        f"p{percent}_ms": latencies[min(len(latencies) - 1, len(latencies) * percent // 100)] * 1000
        for percent in (50, 99)
    }


async def rounds_of(
    subjects: Mapping[str, Subject],
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
    warm_up: bool = True,
) -> dict[str, list[Measure]]:
    """Measure all subjects in turn, in rounds: A B, B A, A B, … so that what drifts hits both sides of a ratio alike.

    Before the first round each has worked for a moment: connections are open, statements prepared, caches filled.
    """
    found: dict[str, list[Measure]] = {name: [] for name in subjects}
    if warm_up:
        for name, subject in subjects.items():
            say(f"warming up: {name}")
            await subject(min(WARM_UP_S, seconds / 4))
    for number in range(rounds):
        order = list(subjects)
        for name in order if number % 2 == 0 else reversed(order):
            say(f"round {number + 1} of {rounds}: {name}")
            await asyncio.sleep(PAUSE_BETWEEN_S)
            found[name].append(await subjects[name](seconds))
    return found
