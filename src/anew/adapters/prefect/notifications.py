"""News as Prefect events, so that automations of the user's own can act on them.

Over REST, like hints: Prefect's `emit_event` loses what it is given while the server is away, and says nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from anew.adapters.prefect.api import PrefectFlows
from anew.engine.base.ports import Notification
from anew.errors import NotificationFailed, PrefectUnavailable

MODEL_PREFIX = "anew.model"
EVENT_PREFIX = "anew"
_LEFT_OUT = "decision."


class PrefectNotifier:
    """Implements Notifier by Prefect events, of all but decisions.

    The flow run that decides is in Prefect already, and the decisions of a burst, each one event more, keep a server on
    SQLite from starting anything: the launches of 20 took 3.0 s instead of 0.9.
    """

    def __init__(
        self,
        prefect: PrefectFlows,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._prefect = prefect
        self._clock = clock
        self._new_id = new_id

    def send(self, notification: Notification) -> None:
        if notification.kind.startswith(_LEFT_OUT):
            return
        try:
            self._prefect.emit(notification_event(notification, self._new_id(), self._clock()))
        except PrefectUnavailable as error:
            raise NotificationFailed(f"no Prefect event tells of '{notification.title}': {error}") from error


def notification_event(news: Notification, event_id: UUID, now: datetime) -> dict[str, Any]:
    """The Prefect event `anew.<kind>` of the model; what it is about is related to it."""
    return {
        "id": str(event_id),
        "event": f"{EVENT_PREFIX}.{news.kind}",
        "occurred": now.astimezone(UTC).isoformat(),
        "resource": {"prefect.resource.id": f"{MODEL_PREFIX}.{news.model}", "prefect.resource.name": news.model},
        "related": [
            {
                "prefect.resource.id": f"{EVENT_PREFIX}.{news.kind.partition('.')[0]}.{news.about}",
                "prefect.resource.role": "about",
            }
        ],
        "payload": {
            "about": news.about,
            "model": news.model,
            "title": news.title,
            "text": news.text,
            "until": None if news.until is None else news.until.astimezone(UTC).isoformat(),
        },
    }
