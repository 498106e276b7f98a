"""The lifecycle tables: every open state leads to an end, and no move is possible that the table does not have."""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.retrainings.lifecycle import (
    OPEN_RETRAINING,
    RETRAINING_TRANSITIONS,
    RetrainingMove,
    RetrainingState,
    next_retraining_state,
)
from anew.core.rollouts.lifecycle import (
    OPEN_ROLLOUT,
    ROLLOUT_TRANSITIONS,
    RolloutMove,
    RolloutState,
    next_rollout_state,
)
from anew.errors import IllegalTransition

StateT = TypeVar("StateT", bound=StrEnum)
MoveT = TypeVar("MoveT", bound=StrEnum)
Table = Mapping[StrEnum, Mapping[StrEnum, StrEnum]]

TABLES = [
    pytest.param(RETRAINING_TRANSITIONS, RetrainingState, RetrainingState.LAUNCHING, id="retraining"),
    pytest.param(ROLLOUT_TRANSITIONS, RolloutState, RolloutState.PENDING, id="rollout"),
]


def reachable(table: Table, start: StrEnum) -> set[StrEnum]:
    found, to_do = {start}, [start]
    while to_do:
        for state in table[to_do.pop()].values():
            if state not in found:
                found.add(state)
                to_do.append(state)
    return found


@pytest.mark.parametrize(("table", "states", "first"), TABLES)
def test_every_state_is_reachable(table: Table, states: type[StrEnum], first: StrEnum) -> None:
    """The table has a row for every state, and every state can be reached."""
    assert set(table) == set(states) == reachable(table, first)


@pytest.mark.parametrize(
    ("table", "is_open"), [(RETRAINING_TRANSITIONS, OPEN_RETRAINING), (ROLLOUT_TRANSITIONS, OPEN_ROLLOUT)]
)
def test_open_states_can_end(table: Table, is_open: Collection[StrEnum]) -> None:
    """Every open state can end in failure and in another final state."""
    for state in is_open:
        ends = {str(end) for end in reachable(table, state) if end not in is_open}
        assert ends > {"failed"}


def test_only_force_leaves_rejected() -> None:
    """Only a rejected retraining leaves its final state, and only by force."""
    leaving = {state: set(moves) for state, moves in RETRAINING_TRANSITIONS.items() if state not in OPEN_RETRAINING}

    assert {state: moves for state, moves in leaving.items() if moves} == {
        RetrainingState.REJECTED: {RetrainingMove.FORCED}
    }


@given(st.sampled_from(RetrainingState), st.sampled_from(RetrainingMove))
def test_retraining_follows_its_table(state: RetrainingState, move: RetrainingMove) -> None:
    """A retraining makes exactly the moves of its table."""
    check(state, move, RETRAINING_TRANSITIONS[state].get(move), next_retraining_state)


@given(st.sampled_from(RolloutState), st.sampled_from(RolloutMove))
def test_rollout_follows_its_table(state: RolloutState, move: RolloutMove) -> None:
    """A rollout makes exactly the moves of its table."""
    check(state, move, ROLLOUT_TRANSITIONS[state].get(move), next_rollout_state)


def check(state: StateT, move: MoveT, expected: StateT | None, following: Callable[[StateT, MoveT], StateT]) -> None:
    if expected is not None:
        assert following(state, move) is expected
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot be {move}"):
            following(state, move)


@given(st.lists(st.sampled_from(RetrainingMove), max_size=20))
def test_ended_retraining_stays_ended(moves: list[RetrainingMove]) -> None:
    """A retraining that ended never moves again, unless forced."""
    state, ended = RetrainingState.LAUNCHING, False
    for move in moves:
        try:
            state = next_retraining_state(state, move)
            assert not ended or move is RetrainingMove.FORCED
        except IllegalTransition:
            pass
        ended = state not in OPEN_RETRAINING


@given(st.lists(st.sampled_from(RolloutMove), max_size=20))
def test_ended_rollout_stays_ended(moves: list[RolloutMove]) -> None:
    """A rollout that ended never moves again."""
    state, ended = RolloutState.PENDING, False
    for move in moves:
        try:
            state = next_rollout_state(state, move)
            assert not ended
        except IllegalTransition:
            pass
        ended = state not in OPEN_ROLLOUT
