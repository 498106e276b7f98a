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


def test_lost_drift_goes_live() -> None:
    """Drift whose event was lost is found, retrains once, and the new version goes live."""
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


def test_late_event_repeats_no_decision() -> None:
    """An event that arrives after reconciliation found its drift leads to no second decision."""
    play = Play()
    play.azure.happened.append(drift_event())
    play.tick()

    play.receive(drift_event())
    play.tick()

    assert len(play.ledger.decisions()) == 1
    [entry] = play.ledger.entries()
    assert entry.deliveries >= 2


def test_reconciliation_repeats_no_decision() -> None:
    """Drift that an event has already reported gets no second decision from reconciliation."""
    play = Play()
    play.receive(drift_event())
    play.tick()
    play.azure.happened.append(drift_event())

    play.tick()

    assert len(play.ledger.entries()) == 1
    assert len(play.ledger.decisions()) == 1


def test_late_events_change_nothing() -> None:
    """Late events of runs and versions are settled and change nothing in Azure."""
    play = Play()
    play.receive(drift_event())
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))
    effects = play.azure.effects.copy()

    play.receive(run_event(play.retraining.job_name), run_event(play.retraining.evaluation_job), registered_event("1"))
    play.tick()

    assert play.azure.effects == effects
    assert all(entry.settled_at for entry in play.ledger.entries())


def test_drift_of_long_outage_is_found() -> None:
    """Drift during an outage of five days is found at its end."""
    play = Play()
    play.tick()
    play.azure.happened.append(drift_event(at=play.now + timedelta(hours=1)))

    report = play.tick(days=5)

    assert report.found == 1


def test_failed_search_is_repeated() -> None:
    """A failed search for missed drift is a problem of its tick, and the next tick repeats it."""
    play = Play()
    play.tick()
    play.azure.happened.append(drift_event(at=play.now + timedelta(hours=1)))
    play.azure.down.add("missed.drift")
    problems = play.tick(days=5).problems
    play.azure.down.clear()

    assert [problem for problem in problems if problem.startswith("drift")]
    assert play.tick().found == 1


def test_failed_part_stops_no_other() -> None:
    """A part of the tick that fails is reported, and the other parts run."""
    play = Play()
    serve(play.azure, "3")
    play.receive(drift_event())
    play.azure.models[MODEL, "4"] = ModelVersion(MODEL, "4", PRODUCTION, "somewhere")
    play.azure.refused.add("missed.drift")

    report = play.tick()

    assert len(report.problems) == 1
    assert len(report.retrained.decided) == 1
    assert play.rollout.version == "4"


def test_unreadable_endpoint_hides_no_other() -> None:
    """An endpoint that cannot be read hides no traffic changes of other endpoints."""
    play = Play().with_policies(policy(deploy=[deploy_rule("first"), deploy_rule("second")]))
    serve(play.azure, "3", endpoint="first")
    serve(play.azure, "3", endpoint="second")
    play.azure.unreadable.add("first")

    report = play.tick()

    assert [change.endpoint for change in play.ledger.traffic()] == ["online/second"]
    assert any(problem.startswith("traffic of online/first") for problem in report.problems)


def test_newest_version_is_rolled_out() -> None:
    """Of several undeployed versions only the newest is rolled out."""
    play = Play()
    for version in ("1", "2", "10"):
        play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION, "somewhere")

    play.tick()

    assert play.rollout.version == "10"


def test_no_deploy_rule_deploys_nothing() -> None:
    """A policy without a deploy rule deploys nothing."""
    play = Play().with_policies(policy(deploy=[]))
    play.azure.models[MODEL, "1"] = ModelVersion(MODEL, "1", PRODUCTION, "somewhere")

    play.tick()

    assert play.ledger.rollouts() == []


def test_failed_rollout_is_not_repeated() -> None:
    """A failed rollout is not tried again."""
    play = Play()
    play.azure.models[MODEL, "1"] = ModelVersion(MODEL, "1", PRODUCTION, "somewhere")
    play.azure.broken.add(f"{MODEL}:1")
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.FAILED])))
    effects = play.azure.effects.copy()

    report = play.tick()

    assert (report.found, play.azure.effects) == (0, effects)


def test_idle_tick_does_nothing() -> None:
    """A tick with nothing to do has no effect and no problem."""
    play = Play()

    report = play.tick()

    assert (report.found, report.problems, report.advanced) == (0, (), ())
    assert not play.azure.effects
