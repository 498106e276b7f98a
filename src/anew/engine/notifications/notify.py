"""Telling people and automations what was recorded: at most once, and never in the way of the work."""

import logging

from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.engine.base.context import Engine
from anew.engine.base.ports import Notification
from anew.engine.notifications.notification import retraining_notification, rollout_notification
from anew.errors import NotificationFailed, UnknownModel

_TOLD = frozenset({RolloutState.BAKING, RolloutState.LIVE, RolloutState.ROLLED_BACK, RolloutState.FAILED})

logger = logging.getLogger(__name__)


def notify(engine: Engine, news: Notification) -> str | None:
    """Tell it; returns why it could not be told. A chat that is down must not hold up anything."""
    try:
        engine.notifier.send(news)
    except NotificationFailed as error:
        logger.warning("%s: nobody was told '%s': %s", news.about, news.title, error)
        return str(error)
    return None


def notify_of_retraining(engine: Engine, retraining: Retraining) -> None:
    """Tell of the state it has just reached. A question always is told of, an end as the policy wants."""
    news = retraining_notification(retraining)
    asked = retraining.state is RetrainingState.AWAITING_APPROVAL
    if news is not None and (asked or _is_wanted(engine, retraining)):
        notify(engine, news)


def notify_of_rollout(engine: Engine, rollout: Rollout) -> None:
    """Tell that a version serves, went live, or went back."""
    if rollout.state in _TOLD:
        notify(engine, rollout_notification(rollout))


def _is_wanted(engine: Engine, retraining: Retraining) -> bool:
    try:
        return retraining.state in engine.policies.for_model(retraining.model).notify_on
    except UnknownModel:
        return False
