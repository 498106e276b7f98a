"""Which move follows from a gate, and when a result counts: over values, without Azure or a ledger."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.gate import EvaluationResult, GateOutcome, GateResult, PairedCounts, evaluation_of_counts
from anew.core.policies.policy import Policy
from anew.core.retrainings.gating import (
    CHAMPION_CHANGES_AT_MOST,
    after_champion_change,
    after_gate,
    after_waiting,
    evaluate_again,
    judge_evaluation,
    judge_training,
)
from anew.core.retrainings.lifecycle import RETRAINING_TRANSITIONS, Retraining, RetrainingMove, RetrainingState
from anew.errors import InvalidEvaluation
from tests.builders import policy
from tests.contract.rows import retraining
from tests.event_data import NOW

GATE: dict[str, Any] = {"kind": "non_inferiority", "inconclusive": {"keep_for": "3d", "every": "1d"}}
BETTER = PairedCounts(challenger_correct=860, champion_correct=820, only_champion=20, only_challenger=60)
BETTER_EVALUATION = evaluation_of_counts(1000, "f00d", BETTER)
INCONCLUSIVE = GateResult(GateOutcome.INCONCLUSIVE, "too few rows", 150, "f00d")


def evaluating(**changes: Any) -> Retraining:
    return replace(retraining(), state=RetrainingState.EVALUATING, **{"champion_version": "3"} | changes)


def gated(evaluate: str = "job", **gate: Any) -> Policy:
    by = {"by": "training"} if evaluate == "training" else {"job": "evaluate.yml"}
    return policy(gate=GATE | gate, evaluate=by)


@given(
    outcome=st.sampled_from(GateOutcome),
    approval=st.sampled_from([{}, {"approval": {"timeout": "2d"}}]),
    then=st.sampled_from(["reject", "ask"]),
    evaluate=st.sampled_from(["job", "training"]),
    waited=st.none() | st.timedeltas(timedelta(0), timedelta(days=9)),
)
def test_every_result_has_a_legal_move(
    outcome: GateOutcome, approval: dict[str, Any], then: str, evaluate: str, waited: timedelta | None
) -> None:
    """Every gate result leads to a move of the table, and only `promote` to a version without a person."""
    document = gated(evaluate, **approval, inconclusive=GATE["inconclusive"] | {"then": then})
    candidate = evaluating(inconclusive_since=None if waited is None else NOW - waited)

    move, changes = after_gate(candidate, document, replace(INCONCLUSIVE, outcome=outcome), NOW)

    assert move in RETRAINING_TRANSITIONS[RetrainingState.EVALUATING]
    assert changes["gate"].outcome is outcome
    assert (move is RetrainingMove.PASSED) is (outcome is GateOutcome.PROMOTE and not approval)
    waits = evaluate == "job" and (waited or timedelta(0)) < timedelta(days=3)
    assert (move is RetrainingMove.INCONCLUSIVE) is (outcome is GateOutcome.INCONCLUSIVE and waits)


@pytest.mark.parametrize(("then", "move"), [("reject", RetrainingMove.REJECTED), ("ask", RetrainingMove.ASKED)])
def test_waiting_ends_as_the_policy_says(then: str, move: RetrainingMove) -> None:
    """At the end of `keep_for` the kept result is resolved."""
    document = gated(inconclusive=GATE["inconclusive"] | {"then": then})

    following = after_waiting(evaluating(gate=INCONCLUSIVE), document.gate, NOW)

    assert (following.move, following.changes["gate"]) == (move, INCONCLUSIVE)


def test_same_rows_are_inconclusive() -> None:
    """A second evaluation of the same rows against the same champion adds no evidence."""
    first = evaluating()
    again = evaluating(inconclusive_since=NOW, gate=INCONCLUSIVE)

    outcomes = [judge_evaluation(each, gated().gate, BETTER_EVALUATION).outcome for each in (first, again)]

    assert outcomes == [GateOutcome.PROMOTE, GateOutcome.INCONCLUSIVE]


def test_training_against_old_champion_is_inconclusive() -> None:
    """A training reports once, so its comparison is void after a change of champion."""
    changes = [0, 1]

    outcomes = [
        judge_training(evaluating(champion_changes=each), gated().gate, BETTER_EVALUATION).outcome for each in changes
    ]

    assert outcomes == [GateOutcome.PROMOTE, GateOutcome.INCONCLUSIVE]


def test_report_without_champion_is_invalid() -> None:
    """While a version is in production, a report has to compare with it."""
    alone: EvaluationResult = BETTER_EVALUATION.alone()

    with pytest.raises(InvalidEvaluation, match="no champion, but version 3"):
        judge_evaluation(evaluating(), gated().gate, alone)


@pytest.mark.parametrize(("champion", "kept"), [(None, INCONCLUSIVE), ("3", INCONCLUSIVE), ("7", None)])
def test_result_against_old_champion_is_dropped(champion: str | None, kept: GateResult | None) -> None:
    """A new evaluation voids the approval, and the result only if the champion is another one."""
    candidate = evaluating(gate=INCONCLUSIVE, approval_by="anna", approval_deadline=NOW)

    move, changes = evaluate_again(candidate, champion)

    assert move is RetrainingMove.RETRIED
    assert (changes["gate"], changes["champion_version"]) == (kept, champion or "3")
    assert (changes["approval_by"], changes["approval_deadline"]) == (None, None)
    assert changes["evaluations"] == candidate.evaluations + 1


def test_changing_champion_ends_in_rejection() -> None:
    """A candidate is compared again with a new champion, but not for ever."""
    moves = [after_champion_change(evaluating(champion_changes=n), "7").move for n in range(5)]

    assert moves[:CHAMPION_CHANGES_AT_MOST] == [RetrainingMove.RETRIED] * CHAMPION_CHANGES_AT_MOST
    assert set(moves[CHAMPION_CHANGES_AT_MOST:]) == {RetrainingMove.REJECTED}
