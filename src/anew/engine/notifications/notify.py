"""Notify people and automations of recorded changes: at most once, and without stopping the work."""

import logging

from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.engine.base.context import Engine
from anew.engine.base.ports import Notification
from anew.engine.notifications.notification import retraining_notification, rollout_notification
from anew.errors import NotificationFailed, UnknownModel

_NOTIFIED_STATES = frozenset({RolloutState.BAKING, RolloutState.LIVE, RolloutState.ROLLED_BACK, RolloutState.FAILED})

logger = logging.getLogger(__name__)


def notify(engine: Engine, notification: Notification) -> str | None:
    """Send it; returns the reason when it could not be sent. A chat that is down must not stop anything."""
    try:
        engine.notifier.send(notification)
    except NotificationFailed as error:
        logger.warning("%s: the notification '%s' was not sent: %s", notification.about, notification.title, error)
        return str(error)
    return None


def notify_of_retraining(engine: Engine, retraining: Retraining) -> None:
    """Notify of the state it has just reached: always of a request for approval, of an end as the policy says."""
    notification = retraining_notification(retraining)
    asks = retraining.state is RetrainingState.AWAITING_APPROVAL
    if notification is not None and (asks or _is_wanted(engine, retraining)):
        notify(engine, notification)


def notify_of_rollout(engine: Engine, rollout: Rollout) -> None:
    """Notify that a version serves, went live, or was rolled back."""
    if rollout.state in _NOTIFIED_STATES:
        notify(engine, rollout_notification(rollout))


def _is_wanted(engine: Engine, retraining: Retraining) -> bool:
    try:
        return retraining.state in engine.policies.for_model(retraining.model).notify_on
    except UnknownModel:
        return False
