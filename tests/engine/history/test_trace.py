"""The trace of any id of a chain is the whole chain."""

import pytest

from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.engine.history.trace import trace
from anew.engine.retrainings.finished_runs import handle_finished_runs
from anew.errors import NothingKnown
from tests.builders import MODEL, Play, drift_event, policy, registered_event, run_event, serve


@pytest.fixture(scope="module")
def play() -> Play:
    """A drift that led to a live version."""
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
    return play


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
        "version",
    ],
)
def test_every_id_leads_to_the_chain(play: Play, about: str) -> None:
    """Whichever record is named, its trace has the events, the decision, the retraining and the rollout."""
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
        "version": f"{MODEL}:4",
    }[about]

    chain = trace(play.ledger, name).chain

    assert {"event-run-1", "event-run-2"} <= {entry.event.id for entry in chain.events}
    assert chain.decision is not None
    assert chain.decision.id == retraining.decision_id
    assert (chain.retraining, chain.rollouts) == (retraining, (play.rollout,))


def test_audit_is_in_order(play: Play) -> None:
    """The trail of a chain names every state, in the order in which they were reached."""
    audit = trace(play.ledger, MODEL).audit

    steps = [row.what for row in audit]
    assert [row.seq for row in audit] == sorted(row.seq for row in audit)
    for step in ("retrain", "launching", "launch-intended", "launched", "trained", "passed", "registered"):
        assert step in steps
    assert steps[-1] == "baked"


def test_event_without_a_decision() -> None:
    """An event that led to nothing is traced too, with its outcome."""
    play = Play()
    play.receive(drift_event(monitor="strangers-monitor"))
    play.tick()

    chain = trace(play.ledger, "event-drift-1").chain

    assert [entry.outcome for entry in chain.events] == ["not decided: no policy watches strangers-monitor"]
    assert (chain.decision, chain.retraining, chain.rollouts) == (None, None, ())


def test_event_of_two_models() -> None:
    """A trace starts from the decision that settled the event; the event itself is listed once."""
    play = Play().with_policies(policy(), policy("other"))
    play.receive(drift_event("shared"))
    play.tick()

    chain = trace(play.ledger, "event-shared").chain

    assert chain.decision is not None
    assert [entry.event.id for entry in chain.events] == ["event-shared"]
    assert len(play.ledger.decisions()) == 2


@pytest.mark.parametrize("about", ["r-nothing", "price:3", "price:9"])
def test_unknown_id(play: Play, about: str) -> None:
    """An id without any record is named; so is a version that anew only saw serving."""
    with pytest.raises(NothingKnown, match=about):
        trace(play.ledger, about)
