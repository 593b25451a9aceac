"""States as data: which state may follow which.

The table is the one home of the rule. An UPDATE takes its allowed sources from it, the manual its diagram, the tests
every pair.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias, TypeVar

S = TypeVar("S", bound=Enum)

Moves: TypeAlias = Mapping[S, frozenset[S]]


def declare_moves(states: type[S], moves: Mapping[S, Iterable[S]]) -> Moves[S]:
    """Make the read-only table of moves, in the order in which the states are declared.

    A state that `moves` leaves out is final. The first state declared is where things begin.
    """
    if strangers := {state for state, targets in moves.items() for state in (state, *targets)} - set(states):
        raise ValueError(f"not states of {states.__name__}: {sorted(str(state) for state in strangers)}")
    return MappingProxyType({state: frozenset(moves.get(state, ())) for state in states})


def sources(moves: Moves[S], to: S) -> list[S]:
    """The states from which `to` may be entered, in declared order: the `ANY(:sources)` of the UPDATE."""
    return [state for state, targets in moves.items() if to in targets]


def reachable(moves: Moves[S], start: S) -> frozenset[S]:
    """Every state that some path of moves leads to from `start`; `start` itself only if a path returns to it."""
    found: set[S] = set()
    open_ends = [start]
    while open_ends:
        new = moves[open_ends.pop()] - found
        found |= new
        open_ends.extend(new)
    return frozenset(found)


def mermaid(moves: Moves[S]) -> str:
    """The table as a Mermaid state diagram: it begins at the first state and ends where no move leads on."""
    lines = ["stateDiagram-v2"]
    order = list(moves)
    lines += [f"    [*] --> {state.value}" for state in order[:1]]
    for state, targets in moves.items():
        lines += [f"    {state.value} --> {target.value}" for target in order if target in targets]
        if not targets:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join(lines) + "\n"
