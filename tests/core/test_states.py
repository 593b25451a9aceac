"""States as data: the table is complete, cannot be changed, and says where one may come from."""

from enum import StrEnum

import pytest

from storeroom.core.states import declare_moves, mermaid, reachable, sources


class Light(StrEnum):
    OFF = "off"
    ON = "on"
    DIMMED = "dimmed"
    BROKEN = "broken"


MOVES = declare_moves(
    Light,
    {
        Light.OFF: {Light.ON},
        Light.ON: {Light.OFF, Light.DIMMED, Light.BROKEN},
        Light.DIMMED: {Light.DIMMED, Light.BROKEN},
    },
)


def test_a_state_left_out_is_final():
    assert MOVES[Light.BROKEN] == frozenset()
    assert list(MOVES) == list(Light)


def test_moves_cannot_be_changed():
    with pytest.raises(TypeError):
        MOVES[Light.OFF] = frozenset()
    with pytest.raises(AttributeError):
        MOVES[Light.OFF].add(Light.BROKEN)


def test_moves_do_not_follow_the_table_they_were_made_from():
    table = {Light.OFF: {Light.ON}}
    moves = declare_moves(Light, table)
    table[Light.OFF].add(Light.BROKEN)
    assert moves[Light.OFF] == {Light.ON}


@pytest.mark.parametrize("table", [{Light.OFF: {"on fire"}}, {"on fire": {Light.OFF}}])
def test_a_state_of_another_kind_is_refused(table):
    with pytest.raises(ValueError, match=r"not states of Light: .*on fire"):
        declare_moves(Light, table)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (Light.OFF, [Light.ON]),
        (Light.ON, [Light.OFF]),
        (Light.DIMMED, [Light.ON, Light.DIMMED]),
        (Light.BROKEN, [Light.ON, Light.DIMMED]),
    ],
)
def test_sources_in_declared_order(to, expected):
    assert sources(MOVES, to) == expected


def test_reachable():
    assert reachable(MOVES, Light.OFF) == {Light.OFF, Light.ON, Light.DIMMED, Light.BROKEN}
    assert reachable(MOVES, Light.DIMMED) == {Light.DIMMED, Light.BROKEN}
    assert reachable(MOVES, Light.BROKEN) == frozenset()


def test_the_diagram():
    assert mermaid(MOVES) == (
        "stateDiagram-v2\n"
        "    [*] --> off\n"
        "    off --> on\n"
        "    on --> off\n"
        "    on --> dimmed\n"
        "    on --> broken\n"
        "    dimmed --> dimmed\n"
        "    dimmed --> broken\n"
        "    broken --> [*]\n"
    )
