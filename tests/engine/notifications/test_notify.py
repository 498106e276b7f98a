"""People are told of decisions, and a channel that is down holds up nothing."""

from dataclasses import replace

import pytest

from anew.adapters.memory.evidence import MemoryNotifier
from anew.core.retrainings.lifecycle import RetrainingState
from anew.engine.base.ports import Notification
from anew.engine.decisions.decide_pending import decide_pending
from anew.errors import NotificationFailed
from tests.builders import MODEL, Play, drift_event, policy


class DeafNotifier:
    def send(self, notification: Notification) -> None:
        raise NotificationFailed(f"'{notification.title}' reached nobody")


def told(play: Play) -> list[Notification]:
    assert isinstance(play.engine.notifier, MemoryNotifier)
    return play.engine.notifier.sent


def test_retraining_is_notified() -> None:
    """A decision to retrain sends one notification with its reasons and the `anew explain` command."""
    play = Play()
    play.receive(drift_event(value=0.6))

    [decided] = decide_pending(play.engine, play.now).decided

    [news] = told(play)
    assert (news.kind, news.about, news.model) == ("decision.retrain", decided.record.id, MODEL)
    assert news.title == f"{MODEL}: retrain"
    assert "drift_coefficient 0.6 is above 0.3" in news.text
    assert news.text.endswith(f"anew explain {decided.record.id}")


def test_hold_is_notified_if_listed() -> None:
    """A hold is notified only if `notify_on` of the policy lists it."""
    play = Play()
    play.receive(drift_event(value=0.1))
    decide_pending(play.engine, play.now)
    assert told(play) == []

    play.with_policies(policy(notify_on=("hold",)))
    play.receive(drift_event("drift-2", value=0.2))
    decide_pending(play.engine, play.now)
    assert [news.title for news in told(play)] == [f"{MODEL}: hold"]


def test_failing_channel_delays_no_training() -> None:
    """A channel that fails delays no training, and the decision reports the failure."""
    play = Play()
    play.engine = replace(play.engine, notifier=DeafNotifier())
    play.receive(drift_event())

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.not_notified == f"'{MODEL}: retrain' reached nobody"
    assert play.retraining.state is RetrainingState.TRAINING


@pytest.mark.parametrize("repetitions", [2, 5])
def test_repeated_event_notifies_once(repetitions: int) -> None:
    """A repeated event sends no second notification."""
    play = Play()
    for _ in range(repetitions):
        play.receive(drift_event())
        decide_pending(play.engine, play.now)
    assert len(told(play)) == 1
