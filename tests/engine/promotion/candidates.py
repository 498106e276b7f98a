"""Histories that have brought a candidate to a certain state."""

from typing import Any

from anew.adapters.memory.azure import Ending
from anew.adapters.memory.evidence import MemoryNotifier
from anew.core.retrainings.lifecycle import RetrainingState
from anew.engine.base.ports import Notification
from tests.builders import EVALUATE_JOB, Play, drift_event, evaluation, policy, serve

INCONCLUSIVE: dict[str, Any] = {"better": 3, "worse": 3, "rows": 150}
WAIT = {"keep_for": "3d", "every": "1d"}
APPROVAL = {"kind": "non_inferiority", "approval": {"timeout": "2d"}}


def gate(**inconclusive: Any) -> dict[str, Any]:
    return {"kind": "non_inferiority", "inconclusive": WAIT | inconclusive}


def played(gate: dict[str, Any], until: RetrainingState, *, report: Ending | None = None, **changes: Any) -> Play:
    """Version 3 is in production, and a candidate has come to this state."""
    play = Play().with_policies(policy(gate=gate, **changes))
    serve(play.azure, "3")
    play.azure.endings[EVALUATE_JOB] = report or evaluation()
    play.receive(drift_event())
    play.tick()
    play.tick_until(lambda: play.retraining.state is until)
    return play


def awaiting_data(**inconclusive: Any) -> Play:
    return played(gate(**inconclusive), RetrainingState.AWAITING_DATA, report=evaluation(**INCONCLUSIVE))


def awaiting_approval() -> Play:
    return played(APPROVAL, RetrainingState.AWAITING_APPROVAL)


def notifications(play: Play) -> list[Notification]:
    assert isinstance(play.engine.notifier, MemoryNotifier)
    return play.engine.notifier.sent


def evaluations(play: Play) -> int:
    return sum("-evaluate" in name for name in play.azure.jobs)
