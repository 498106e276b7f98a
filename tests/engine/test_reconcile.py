"""Histories in which events are lost, late or repeated: reconciliation brings every one to the same end."""

from datetime import timedelta

from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion
from tests.builders import (
    ENDPOINT,
    MODEL,
    PRODUCTION,
    Play,
    deploy_rule,
    drift_event,
    policy,
    registered_event,
    run_event,
    serve,
)


def test_drift_that_no_event_told_of_is_found_retrained_and_brought_live() -> None:
    play = Play()
    serve(play.azure, "3")
    play.azure.happened.append(drift_event())

    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))

    assert play.retraining.state is RetrainingState.REGISTERED
    assert (play.rollout.version, play.rollout.retraining_id) == ("4", play.retraining.id)
    assert play.azure.endpoints[ENDPOINT].traffic[deployment_name(MODEL, "4")] == 100
    assert play.azure.effects["run", play.retraining.id] == 1
    assert play.azure.effects["job", play.retraining.evaluation_job] == 1
    assert play.azure.effects["version", f"{MODEL}:4"] == 1


def test_event_that_comes_after_reconciliation_found_its_drift_leads_to_no_second_decision() -> None:
    play = Play()
    play.azure.happened.append(drift_event())
    play.tick()

    play.receive(drift_event())
    play.tick()

    assert len(play.ledger.decisions()) == 1
    [entry] = play.ledger.entries()
    assert entry.deliveries >= 2


def test_reconciliation_that_finds_what_an_event_told_leads_to_no_second_decision() -> None:
    play = Play()
    play.receive(drift_event())
    play.tick()
    play.azure.happened.append(drift_event())

    play.tick()

    assert len(play.ledger.entries()) == 1
    assert len(play.ledger.decisions()) == 1


def test_late_events_of_runs_and_versions_change_nothing() -> None:
    play = Play()
    play.receive(drift_event())
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))
    effects = play.azure.effects.copy()

    play.receive(run_event(play.retraining.job_name), run_event(play.retraining.evaluation_job), registered_event("1"))
    play.tick()

    assert play.azure.effects == effects
    assert all(entry.settled_at for entry in play.ledger.entries())


def test_drift_of_a_long_outage_is_found_when_it_is_over() -> None:
    play = Play()
    play.tick()
    play.azure.happened.append(drift_event(at=play.now + timedelta(hours=1)))

    report = play.tick(days=5)

    assert report.found == 1


def test_drift_is_looked_for_again_after_the_logs_did_not_answer() -> None:
    play = Play()
    play.tick()
    play.azure.happened.append(drift_event(at=play.now + timedelta(hours=1)))
    play.azure.down.add("missed.drift")
    problems = play.tick(days=5).problems
    play.azure.down.clear()

    assert [problem for problem in problems if problem.startswith("drift")]
    assert play.tick().found == 1


def test_part_that_fails_does_not_keep_the_others_from_running() -> None:
    play = Play()
    serve(play.azure, "3")
    play.receive(drift_event())
    play.azure.models[MODEL, "4"] = ModelVersion(MODEL, "4", PRODUCTION, "somewhere")
    play.azure.refused.add("missed.drift")

    report = play.tick()

    assert len(report.problems) == 1
    assert len(report.retrained.decided) == 1
    assert play.rollout.version == "4"


def test_endpoint_that_cannot_be_read_hides_no_moves_at_the_others() -> None:
    play = Play().with_policies(policy(deploy=[deploy_rule("first"), deploy_rule("second")]))
    serve(play.azure, "3", endpoint="first")
    serve(play.azure, "3", endpoint="second")
    play.azure.unreadable.add("first")

    report = play.tick()

    assert [change.endpoint for change in play.ledger.traffic()] == ["online/second"]
    assert any(problem.startswith("traffic of online/first") for problem in report.problems)


def test_only_the_newest_of_several_undeployed_versions_is_rolled_out() -> None:
    play = Play()
    for version in ("1", "2", "10"):
        play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION, "somewhere")

    play.tick()

    assert play.rollout.version == "10"


def test_policy_without_a_deploy_rule_deploys_nothing() -> None:
    play = Play().with_policies(policy(deploy=[]))
    play.azure.models[MODEL, "1"] = ModelVersion(MODEL, "1", PRODUCTION, "somewhere")

    play.tick()

    assert play.ledger.rollouts() == []


def test_failed_rollout_is_not_tried_again_for_ever() -> None:
    play = Play()
    play.azure.models[MODEL, "1"] = ModelVersion(MODEL, "1", PRODUCTION, "somewhere")
    play.azure.broken.add(f"{MODEL}:1")
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.FAILED])))
    effects = play.azure.effects.copy()

    report = play.tick()

    assert (report.found, play.azure.effects) == (0, effects)


def test_tick_over_nothing_does_nothing() -> None:
    play = Play()

    report = play.tick()

    assert (report.found, report.problems, report.advanced) == (0, (), ())
    assert not play.azure.effects
