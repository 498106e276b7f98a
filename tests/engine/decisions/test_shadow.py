"""Policies on trial: they decide for real, keep their own limits, and start nothing."""

from anew.core.decisions.decision import Outcome
from anew.core.events.event import Cause
from anew.engine.decisions.act import Decided
from anew.engine.decisions.decide_pending import decide_pending
from tests.builders import Play, drift_event, policy


def drifts(play: Play, run: str) -> Decided:
    """Drift comes in now, and is decided about."""
    play.receive(drift_event(run, at=play.now))
    [decided] = decide_pending(play.engine, play.now).decided
    return decided


def test_shadow_policy_starts_nothing() -> None:
    """A shadow policy records its decision, settles the drift and calls nothing in Azure."""
    play = Play().with_policies(policy(mode="shadow"))

    decided = drifts(play, "run-1")
    kept = play.ledger.decision(decided.record.id)

    assert kept is not None
    assert (kept.outcome, kept.shadow, kept.retraining_id) == (Outcome.RETRAIN, True, None)
    assert decided.retraining is None
    assert play.ledger.retrainings() == []
    assert play.azure.calls == []
    assert play.ledger.unsettled([Cause.DRIFT]) == []
    assert play.tick(hours=1).problems == ()
    assert play.azure.effects == {}


def test_shadow_policy_keeps_its_cooldown() -> None:
    """A shadow policy keeps the cooldown of the retrainings it would have started."""
    play = Play().with_policies(policy(mode="shadow"))
    outcomes: list[str] = []
    for hours in (0, 1, 22, 1, 1):
        play.wait(hours=hours)
        outcomes.append(drifts(play, f"run-{len(outcomes)}").record.outcome)

    assert outcomes == [Outcome.RETRAIN, Outcome.HOLD, Outcome.HOLD, Outcome.RETRAIN, Outcome.HOLD]


def test_shadow_policy_keeps_its_budget() -> None:
    """A shadow policy keeps the budget of the retrainings it would have started."""
    budget = {"unit": "EUR", "limit": 10, "window": "30d", "per_retraining": 4}
    play = Play().with_policies(policy(mode="shadow", limits={"cooldown": "0s", "budget": budget}))
    outcomes: list[str] = []
    for index in range(3):
        play.wait(hours=1)
        outcomes.append(drifts(play, f"run-{index}").record.outcome)

    assert outcomes == [Outcome.RETRAIN, Outcome.RETRAIN, Outcome.HOLD]


def test_activation_resets_the_limits() -> None:
    """A policy that becomes active does not count its shadow decisions."""
    play = Play().with_policies(policy(mode="shadow"))
    drifts(play, "run-1")
    play.with_policies(policy()).wait(minutes=1)

    assert drifts(play, "run-2").record.outcome == Outcome.RETRAIN
    assert play.azure.effects["run", play.retraining.id] == 1


def test_shadow_policy_ignores_real_retrainings() -> None:
    """A shadow policy does not count real retrainings."""
    play = Play()
    drifts(play, "run-1")
    play.with_policies(policy(mode="shadow")).wait(minutes=1)

    assert drifts(play, "run-2").record.outcome == Outcome.RETRAIN
    assert len(play.ledger.retrainings()) == 1
