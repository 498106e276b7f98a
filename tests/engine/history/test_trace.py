"""The story told about any id of a chain is the whole chain."""

from dataclasses import dataclass

import pytest

from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.engine.history.trace import tell
from anew.engine.retrainings.finished_runs import handle_finished_runs
from anew.errors import NothingKnown
from tests.builders import MODEL, Play, drift_event, registered_event, run_event, serve


@dataclass(frozen=True)
class Chain:
    """A history that went all the way."""

    play: Play


@pytest.fixture(scope="module")
def chain() -> Chain:
    play = Play()
    serve(play.azure, "3")
    play.receive(drift_event("run-1"), drift_event("run-2"))
    play.tick()
    play.wait(minutes=5)
    play.receive(run_event(play.retraining.job_name))
    handle_finished_runs(play.engine, play.now)
    play.tick_until(lambda: bool(play.ledger.retrainings([RetrainingState.REGISTERED])))
    play.receive(registered_event("4"))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))
    return Chain(play)


@pytest.mark.parametrize(
    "about",
    [
        "event id",
        "inbox key",
        "decision",
        "retraining",
        "training job",
        "evaluation job",
        "external run",
        "rollout",
        "model",
        "event of the run",
        "event of the version",
    ],
)
def test_every_id_of_a_chain_tells_the_whole_chain(chain: Chain, about: str) -> None:
    play = chain.play
    retraining = play.retraining
    name = {
        "event id": "event-run-2",
        "inbox key": drift_event("run-1").key,
        "decision": retraining.decision_id,
        "retraining": retraining.id,
        "training job": retraining.job_name,
        "evaluation job": retraining.evaluation_job,
        "external run": retraining.external_run_id or "",
        "rollout": play.rollout.id,
        "model": MODEL,
        "event of the run": f"event-{retraining.job_name}",
        "event of the version": f"event-{MODEL}-4",
    }[about]

    story = tell(play.ledger, name)

    assert {"event-run-1", "event-run-2"} <= {entry.event.id for entry in story.events}
    assert story.decision is not None
    assert story.decision.id == retraining.decision_id
    assert story.retraining == retraining
    assert story.rollouts == (play.rollout,)


def test_trail_of_a_chain_is_in_order_and_names_every_state(chain: Chain) -> None:
    story = tell(chain.play.ledger, MODEL)

    whats = [row.what for row in story.audit]
    assert [row.seq for row in story.audit] == sorted(row.seq for row in story.audit)
    for what in ("retrain", "launching", "launch-intended", "launched", "trained", "passed", "registered"):
        assert what in whats
    assert whats[-1] == "baked"


def test_event_that_led_to_nothing_still_has_its_story() -> None:
    play = Play()
    play.receive(drift_event(monitor="strangers-monitor"))
    play.tick()

    story = tell(play.ledger, "event-drift-1")

    assert [entry.outcome for entry in story.events] == ["not decided: no policy watches strangers-monitor"]
    assert (story.decision, story.retraining, story.rollouts) == (None, None, ())


def test_unknown_id_is_not_known() -> None:
    with pytest.raises(NothingKnown, match="r-nothing"):
        tell(Play().ledger, "r-nothing")
