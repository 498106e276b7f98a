"""Trainings that a policy adopts go the same way as launched ones, once for a run, and are never cancelled."""

from typing import Any

import pytest
from msgspec import structs

from anew.adapters.memory.azure import Ending, MemoryJob
from anew.core.events.event import Cause, Event
from anew.core.retrainings.lifecycle import ADOPTED, RetrainingState
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.ports import RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.retrainings.finished_runs import handle_finished_runs
from anew.engine.training.stopping import request_stop
from tests.builders import EVALUATE_JOB, MODEL, PIPELINE, Play, drift_event, evaluation, policy, run_event, serve

RUN = "nightly-42"
EXPERIMENT = "nightly"
ADOPTION = {"experiment": EXPERIMENT, "tags": {"owner": "team-a"}}


def adopting(model: str = MODEL, *adoptions: dict[str, Any], **changes: Any) -> Any:
    launcher = {"kind": "adf", "pipeline": PIPELINE}
    return policy(model, retrain={"launcher": launcher, "adopt": list(adoptions) or [ADOPTION]}, **changes)


def completed(
    play: Play, *, experiment: str = EXPERIMENT, status: RunStatus = RunStatus.COMPLETED, **tags: str
) -> None:
    """A training of somebody else ended in this status, and its event came."""
    shown = {"owner": "team-a"} | tags
    play.azure.jobs[RUN] = MemoryJob(shown, Ending(), status=status, experiment=experiment, git_commit="abc123")
    play.receive(end_of_run(play))


def completed_unheard(play: Play) -> None:
    """A training of somebody else completed, and its event was lost."""
    play.azure.jobs[RUN] = MemoryJob({"owner": "team-a"}, Ending(), status=RunStatus.COMPLETED, experiment=EXPERIMENT)
    play.azure.happened.append(end_of_run(play))


def end_of_run(play: Play, **tags: str) -> Event:
    return structs.replace(run_event(RUN, at=play.now), experiment=EXPERIMENT, tags=tags)


def history(*policies: Any) -> Play:
    play = Play().with_policies(*(policies or (adopting(),)))
    serve(play.azure, "3")
    return play


def test_adopted_run_becomes_a_version() -> None:
    """An adopted training is evaluated and registered like one that anew launched."""
    play = history()
    completed(play, data_hash="rows-1")

    handle_finished_runs(play.engine, play.now)
    assert play.retraining.state is RetrainingState.EVALUATING
    play.tick_until(lambda: not play.retraining.is_open)

    version = play.azure.models[MODEL, "4"]
    assert version.path == f"azureml://jobs/{RUN}/outputs/model"
    assert (version.tags["anew_training_run"], version.tags["anew_git_commit"]) == (RUN, "abc123")
    assert version.tags["anew_training_data"] == "rows-1"


def test_adoption_is_a_decision() -> None:
    """An adoption is recorded as a decision, and settles the event."""
    play = history()
    completed(play)

    handle_finished_runs(play.engine, play.now)

    [decision] = play.ledger.decisions()
    assert (decision.outcome, decision.retraining_id) == (ADOPTED, play.retraining.id)
    assert "the policy adopts such runs" in decision.tree["sentence"]
    assert play.ledger.unsettled([Cause.RUN_COMPLETED]) == []


def test_run_is_adopted_once() -> None:
    """Repeated events of a run adopt it once."""
    play = history()
    for _ in range(3):
        completed(play)
        handle_finished_runs(play.engine, play.now)
    play.tick_until(lambda: not play.retraining.is_open)
    completed(play)
    handle_finished_runs(play.engine, play.now)

    assert len(play.ledger.retrainings()) == len(play.ledger.decisions()) == 1


@pytest.mark.parametrize(
    "unlike",
    [
        {"owner": "team-b"},
        {"experiment": "another"},
        {"status": RunStatus.FAILED},
        {RETRAINING_TAG: "r-unknown"},
    ],
)
def test_unlike_run_is_not_adopted(unlike: dict[str, Any]) -> None:
    """What Azure shows counts: other tags, experiment or state prevent the adoption."""
    play = history()
    completed(play, **unlike)

    assert handle_finished_runs(play.engine, play.now).others == 1
    assert play.ledger.retrainings() == []


def test_foreign_run_costs_no_request() -> None:
    """Without an `adopt` rule a foreign run costs no request to Azure."""
    play = history(policy())
    completed(play)

    assert handle_finished_runs(play.engine, play.now).others == 1
    assert "jobs.get" not in play.azure.calls


def test_run_of_two_policies_is_not_adopted() -> None:
    """A run that two policies adopt belongs to neither."""
    play = history(adopting(), adopting("demand", monitors=["demand-drift"]))
    completed(play)

    handle_finished_runs(play.engine, play.now)

    entry = play.ledger.entry(f"event-{RUN}")
    assert entry is not None
    assert "price, demand adopt this run" in (entry.outcome or "")
    assert play.ledger.retrainings() == []


def test_shadow_policy_adopts_nothing() -> None:
    """A shadow policy adopts no run."""
    play = history(adopting(mode="shadow"))
    completed(play)

    assert handle_finished_runs(play.engine, play.now).others == 1


def test_unconfirmed_run_waits() -> None:
    """A run whose end Azure does not show yet waits in the inbox for a while."""
    play = history()
    completed(play, status=RunStatus.RUNNING)

    assert "does not show yet" in handle_finished_runs(play.engine, play.now).deferred[0]
    assert len(play.ledger.unsettled([Cause.RUN_COMPLETED])) == 1
    play.now += play.engine.timing.confirm_within
    assert handle_finished_runs(play.engine, play.now).others == 1


def test_run_waits_for_open_retraining() -> None:
    """A run waits in the inbox while its model has an open retraining."""
    play = history()
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    completed(play)

    report = handle_finished_runs(play.engine, play.now)

    assert "is under way" in report.deferred[0]
    assert len(play.ledger.unsettled([Cause.RUN_COMPLETED])) == 1
    play.tick_until(lambda: len(play.ledger.retrainings()) == 2)


def test_adopted_training_is_never_cancelled() -> None:
    """A stop cancels the evaluation of an adopted run and never the run itself."""
    play = history()
    play.azure.endings[EVALUATE_JOB] = Ending(RunStatus.RUNNING)
    completed(play)
    handle_finished_runs(play.engine, play.now)

    request_stop(play.engine, MODEL, "not needed", play.now)
    play.azure.jobs[RUN].status = RunStatus.RUNNING  # run again by its owner
    play.tick_until(lambda: not play.retraining.is_open)

    assert play.azure.jobs[RUN].status is not RunStatus.CANCELED
    assert play.azure.jobs[play.retraining.evaluation_job].status is RunStatus.CANCELED


# --- runs whose event was lost ----------------------------------------------------------------------------


def test_missed_run_is_found() -> None:
    """A run whose event was lost is found by reconcile, and adopted once."""
    play = history()
    completed_unheard(play)

    assert play.tick().found == 1
    play.tick_until(lambda: not play.retraining.is_open)
    assert play.tick().found == 0

    assert play.retraining.state is RetrainingState.REGISTERED
    assert len(play.ledger.decisions()) == 1


def test_found_run_is_no_delivery() -> None:
    """Finding a run whose event came does not count as a delivery."""
    play = history()
    completed(play)
    play.azure.happened.append(end_of_run(play))

    assert play.tick().found == 0

    entry = play.ledger.entry(f"event-{RUN}")
    assert entry is not None
    assert entry.deliveries == 1


def test_own_run_is_not_missed() -> None:
    """A run with our tag in an adopted experiment is not a missed run."""
    play = history()
    play.azure.happened.append(end_of_run(play, **{RETRAINING_TAG: "r-1"}))

    assert play.tick().found == 0


def test_no_adoption_costs_no_request() -> None:
    """Without an active policy that adopts, Azure is not asked for runs."""
    play = history(policy(), adopting("demand", monitors=["demand-drift"], mode="shadow"))

    play.tick()

    assert "missed.completed" not in play.azure.calls


def test_missed_runs_are_looked_for_again() -> None:
    """After a failure the same time is asked for again."""
    play = history()
    completed_unheard(play)
    play.azure.down.add("missed.completed")
    problems = play.tick().problems
    play.azure.down.clear()

    assert [problem for problem in problems if problem.startswith("completed runs")]
    assert play.tick(days=1).found == 1


def test_adopted_run_costs_no_budget() -> None:
    """An adopted run uses no budget."""
    budget = {"unit": "EUR", "limit": 10, "window": "30d", "per_retraining": 10}
    play = history(adopting(limits={"cooldown": "0s", "budget": budget}))
    play.azure.endings[EVALUATE_JOB] = evaluation(better=10, worse=90)
    completed(play)
    play.tick()
    play.tick_until(lambda: not play.retraining.is_open)

    play.receive(drift_event(at=play.now))
    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == "retrain"


def test_evaluation_of_adopted_run_is_cancelled() -> None:
    """Stopping cancels the evaluation of an adopted run, but not the run."""
    play = history()
    play.azure.endings[EVALUATE_JOB] = Ending(RunStatus.RUNNING)
    completed(play)
    handle_finished_runs(play.engine, play.now)
    assert play.azure.jobs[play.retraining.evaluation_job].status is RunStatus.RUNNING

    request_stop(play.engine, MODEL, "not needed", play.now)
    play.tick(seconds=1)

    assert play.azure.jobs[play.retraining.evaluation_job].status is RunStatus.CANCELED
    assert play.azure.effects["cancel", RUN] == 0
