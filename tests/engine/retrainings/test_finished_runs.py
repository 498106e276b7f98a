"""From a finished training to a registered version, or to the reason why there is none."""

from dataclasses import replace
from datetime import timedelta

from anew.adapters.memory.azure import Ending
from anew.core.events.event import Cause
from anew.core.gate import GateOutcome
from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.ports import ModelVersion, RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.reconcile import reconcile
from anew.engine.retrainings.advance import advance_retraining
from anew.engine.retrainings.finished_runs import handle_finished_runs
from tests.builders import EVALUATE_JOB, MODEL, PIPELINE, Play, drift_event, evaluation, policy, run_event, serve


def training(*, champion: str | None = "3") -> Play:
    """A history whose training was launched."""
    play = Play()
    if champion:
        serve(play.azure, champion)
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    assert play.retraining.state is RetrainingState.TRAINING
    return play


def evaluating() -> Play:
    """A history whose training ended, and whose evaluation was submitted."""
    play = training()
    play.wait(minutes=10)
    play.receive(run_event(play.retraining.job_name))
    handle_finished_runs(play.engine, play.now)
    assert play.retraining.state is RetrainingState.EVALUATING
    return play


def test_two_events_lead_to_a_version() -> None:
    """The ends of training and evaluation lead to a registered version with its lineage."""
    play = evaluating()
    play.wait(minutes=5)
    play.receive(run_event(play.retraining.evaluation_job))

    handle_finished_runs(play.engine, play.now)

    assert play.retraining.state is RetrainingState.REGISTERED
    tags = play.azure.models[MODEL, "4"].tags
    assert tags["stage"] == "production"
    assert tags[RETRAINING_TAG] == play.retraining.id
    assert (tags["anew_parent_version"], tags["anew_gate"]) == ("3", "promote")
    assert (tags["anew_stage"], tags["anew_metric"]) == ("candidate", "accuracy")


def test_evaluation_compares_with_champion() -> None:
    """The evaluation job gets the champion and the output of the training job as inputs."""
    play = evaluating()

    inputs = play.azure.jobs[play.retraining.evaluation_job].inputs

    assert inputs["champion"] == f"azureml:{MODEL}:3"
    assert inputs["challenger"] == f"azureml://jobs/{play.retraining.job_name}/outputs/model"


def test_first_version_needs_no_evaluation() -> None:
    """Without a version in production there is nothing to compare with."""
    play = training(champion=None)

    play.tick()

    assert play.retraining.state is RetrainingState.REGISTERED
    assert play.retraining.evaluation_job not in play.azure.jobs
    assert (MODEL, "1") in play.azure.models


def test_failed_training_gives_its_detail() -> None:
    """A failed training fails the retraining with the detail of the run."""
    play = Play()
    play.azure.endings[PIPELINE] = Ending(RunStatus.FAILED, detail="out of memory")
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    play.wait(minutes=10)
    play.receive(run_event(play.retraining.job_name, failed=True))

    handle_finished_runs(play.engine, play.now)

    assert play.retraining.state is RetrainingState.FAILED
    assert play.retraining.reason == "the training run failed: out of memory"


def test_late_training_fails() -> None:
    """A training past its timeout is cancelled and fails."""
    play = Play().with_policies(policy(retrain={"launcher": {"kind": "adf", "pipeline": PIPELINE}, "timeout": "1h"}))
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())
    play.tick()

    play.tick(minutes=59)
    assert play.retraining.state is RetrainingState.TRAINING
    play.tick(minutes=2)
    assert play.retraining.state is RetrainingState.CANCELING
    play.tick()

    assert play.retraining.state is RetrainingState.FAILED
    assert "timed out: training since" in (play.retraining.reason or "")
    assert {run.status for run in play.azure.pipeline_runs.values()} == {RunStatus.CANCELED}


def test_pipeline_without_its_job_fails() -> None:
    """A completed pipeline without its Azure ML job fails the retraining."""
    play = Play()
    play.azure.pipelines_without_job.add(PIPELINE)
    play.receive(drift_event())
    play.tick()

    play.tick()

    assert play.retraining.state is RetrainingState.FAILED
    assert "no Azure ML job is named" in (play.retraining.reason or "")


def test_evaluation_without_its_tag_fails() -> None:
    """An evaluation job without the tag `anew_evaluation` fails the retraining."""
    play = training()
    play.azure.endings[EVALUATE_JOB] = Ending()

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.FAILED
    assert "left no tag anew_evaluation" in (play.retraining.reason or "")


def test_impossible_report_fails() -> None:
    """A report that cannot be parsed fails the retraining."""
    play = training()
    play.azure.endings[EVALUATE_JOB] = Ending(tags={"anew_evaluation": "{}"})

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.FAILED
    assert "anew_evaluation" in (play.retraining.reason or "")


def test_failed_evaluation_gives_its_detail() -> None:
    """A failed evaluation gives the retraining the detail of the job as its reason."""
    play = training()
    play.azure.endings[EVALUATE_JOB] = Ending(RunStatus.FAILED, detail="no such column")

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.reason == "the evaluation failed: no such column"


def test_refused_evaluation_fails() -> None:
    """An evaluation job that Azure refuses fails the retraining."""
    play = training()
    play.azure.refused.add("jobs.submit")

    play.tick()

    assert play.retraining.state is RetrainingState.FAILED
    assert "evaluation refused" in (play.retraining.reason or "")


def test_worse_candidate_is_rejected() -> None:
    """A candidate worse than the champion is rejected and not registered."""
    play = training()
    play.azure.endings[EVALUATE_JOB] = evaluation(better=10, worse=90)

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.REJECTED
    assert play.retraining.gate is not None
    assert play.retraining.gate.outcome is GateOutcome.REJECT
    assert list(play.azure.models) == [(MODEL, "3")]


def test_taken_version_is_left_alone() -> None:
    """If somebody else registers the chosen version first, the next one is used."""
    play = evaluating()
    play.wait(minutes=5)
    play.azure.down.add("registry.register")
    play.tick()
    assert (play.retraining.state, play.retraining.new_version) == (RetrainingState.REGISTERING, "4")
    play.azure.models[MODEL, "4"] = ModelVersion(MODEL, "4", {"by": "hand"}, "elsewhere")
    play.azure.down.clear()

    play.tick()

    assert play.retraining.new_version == "5"
    assert play.azure.models[MODEL, "4"].tags == {"by": "hand"}
    assert play.azure.models[MODEL, "5"].tags[RETRAINING_TAG] == play.retraining.id


def test_archived_version_is_skipped() -> None:
    """An archived version is not listed, but taken."""
    play = evaluating()
    play.azure.models[MODEL, "4"] = ModelVersion(MODEL, "4", {}, "elsewhere")
    play.azure.archived.add((MODEL, "4"))

    play.tick()

    assert (play.retraining.state, play.retraining.new_version) == (RetrainingState.REGISTERED, "5")


def test_lost_registration_is_not_repeated() -> None:
    """A registration that returned no answer is found by its tag."""
    play = evaluating()
    play.azure.down.add("registry.register")
    play.tick()
    mine = ModelVersion(MODEL, "4", {RETRAINING_TAG: play.retraining.id}, "as it was sent")
    play.azure.models[MODEL, "4"] = mine
    play.azure.down.clear()

    play.tick()

    assert play.retraining.state is RetrainingState.REGISTERED
    assert play.azure.models[MODEL, "4"] == mine


def test_refused_registration_fails() -> None:
    """A registration that Azure refuses fails the retraining."""
    play = evaluating()
    play.azure.refused.add("registry.register")

    play.tick()

    assert play.retraining.state is RetrainingState.FAILED
    assert "registration refused" in (play.retraining.reason or "")


def test_foreign_run_is_settled() -> None:
    """A run that belongs to no retraining is settled with that outcome."""
    play = training()
    play.receive(run_event("strangers-run"), run_event("forger", retraining="r-unknown"))

    report = handle_finished_runs(play.engine, play.now)

    assert (report.others, report.retrainings) == (2, ())
    entry = play.ledger.entry("event-strangers-run")
    assert entry is not None
    assert entry.outcome == "belongs to no retraining"


def test_tag_identifies_a_run() -> None:
    """An event belongs to a retraining by its tag, too."""
    play = training()
    play.wait(minutes=10)
    play.receive(run_event("child-of-the-pipeline", retraining=play.retraining.id))

    [moved] = handle_finished_runs(play.engine, play.now).retrainings

    assert moved.state is RetrainingState.EVALUATING


def test_event_waits_for_azure() -> None:
    """While Azure does not answer, an event stays in the inbox."""
    play = training()
    play.receive(run_event(play.retraining.job_name))
    play.azure.down.add("jobs.get")

    report = handle_finished_runs(play.engine, play.now)

    assert len(report.deferred) == 1
    assert len(play.ledger.unsettled([Cause.RUN_COMPLETED])) == 1


def test_refused_run_delays_no_other() -> None:
    """A run that Azure refuses to show is deferred, and other runs are handled."""
    play = training()
    play.receive(run_event(play.retraining.job_name), run_event("strangers-run"))
    play.azure.refused.add("jobs.get")

    report = handle_finished_runs(play.engine, play.now)

    assert (len(report.deferred), report.others) == (1, 1)


def test_job_between_two_requests_is_seen() -> None:
    """A job that the pipeline starts and ends between two requests is found."""
    play = training()
    job = play.azure.jobs.pop(play.retraining.job_name)

    def pipeline_runs_to_its_end() -> None:
        play.azure.jobs[play.retraining.job_name] = job
        play.azure.settle()

    play.azure.stall("launcher.view", pipeline_runs_to_its_end)

    assert advance_retraining(play.engine, play.retraining, play.now).state is RetrainingState.EVALUATING


def test_backlog_is_handled_in_one_pass() -> None:
    """One pass handles a backlog of 2500 foreign runs and the own run behind it."""
    play = training()
    play.receive(*(run_event(f"strangers-run-{number}") for number in range(2500)))
    play.wait(minutes=10)
    play.receive(run_event(play.retraining.job_name))

    report = handle_finished_runs(play.engine, play.now)

    assert report.others == 2500
    assert play.retraining.state is RetrainingState.EVALUATING


def test_unreadable_runs_delay_no_others() -> None:
    """Runs that Azure does not show are tried again behind the others."""
    play = Play().with_policies(*(policy(name, monitors=[name]) for name in ("a", "b", "c", "d", "e", "f")))
    play.receive(*(drift_event(f"run-{name}", monitor=name) for name in "abcdef"))
    decide_pending(play.engine, play.now)
    play.wait(minutes=10)
    *unreadable, readable = play.ledger.retrainings()
    play.azure.unreadable |= {item.job_name for item in unreadable}
    play.receive(*(run_event(item.job_name) for item in play.ledger.retrainings()))

    passes = [handle_finished_runs(play.engine, play.now) for _ in range(2)]

    assert len(passes[0].deferred) == 3, "after three failures the pass asks Azure no more"
    moved = play.ledger.retraining(readable.id)
    assert moved is not None
    assert moved.state is not RetrainingState.TRAINING


def test_early_event_changes_nothing() -> None:
    """An event that comes before its run has ended changes nothing."""
    play = training()
    play.receive(run_event(play.retraining.job_name))

    handle_finished_runs(play.engine, play.now)

    assert play.retraining.state is RetrainingState.TRAINING


def test_retraining_without_policy_is_stopped() -> None:
    """A retraining whose policy is gone is cancelled, in Azure too."""
    play = training()

    reconcile(play.with_policies(policy("another")).engine, play.now + timedelta(minutes=1))
    play.tick()

    assert play.retraining.state is RetrainingState.CANCELED
    assert {run.status for run in play.azure.pipeline_runs.values()} == {RunStatus.CANCELED}
    assert MODEL in (play.retraining.reason or "")


def test_stale_retraining_is_left_alone() -> None:
    """A retraining that another worker has moved is left to that worker."""
    play = training()
    stale = play.retraining
    play.ledger.save_retraining(replace(stale, reason="seen"), "note", "another worker", play.now, {})
    play.wait(minutes=10)

    assert advance_retraining(play.engine, stale, play.now) == play.retraining
    assert play.retraining.state is RetrainingState.TRAINING


def test_completion_repeats_no_request() -> None:
    """A completed training becomes a version with three requests to Azure."""
    play = Play().with_policies(policy(deploy=()))
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    play.wait(minutes=10)
    play.receive(run_event(play.retraining.job_name))
    before = len(play.azure.calls)

    handle_finished_runs(play.engine, play.now)

    assert play.retraining.state is RetrainingState.REGISTERED
    assert play.azure.calls[before:] == ["jobs.get", "registry.versions", "registry.register"]
