"""The obligation of Notifier, as in engine/base/ports.py: in memory, through Apprise and to Prefect."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from anew.adapters.memory.evidence import MemoryNotifier
from anew.adapters.notify import AppriseNotifier, Notifiers, Resting, WithApprovalLinks
from anew.adapters.prefect.api import PrefectFlows
from anew.adapters.prefect.notifications import PrefectNotifier
from anew.core.retrainings.approval_links import ApprovalLinks
from anew.engine.base.ports import Notification, Notifier
from anew.engine.notifications.notification import APPROVAL_REQUESTED
from anew.errors import NotificationFailed
from tests.adapters.failing_server import FailingServer, failing_server

# Apprise imports it for one of its channels.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

IMPLEMENTATIONS = (MemoryNotifier, AppriseNotifier, Notifiers, Resting, WithApprovalLinks, PrefectNotifier)
CONTRACT = {Notifier: IMPLEMENTATIONS}

LIVE = Notification("rollout.live", "o-1", "price", "price:7 is live", "It takes all traffic.")
ASKED = Notification(APPROVAL_REQUESTED, "r-1", "price", "price waits", "It passed.", datetime(2026, 7, 17, tzinfo=UTC))


@dataclass(frozen=True)
class Channel:
    """A notifier, and the server at its other end."""

    notifier: Notifier
    delivered: Callable[[], int]
    server: FailingServer


def _notifier(kind: type, server: FailingServer) -> Notifier:
    people = AppriseNotifier([SecretStr(server.url.replace("http://", "json://"))])
    made: dict[type, Callable[[], Notifier]] = {
        MemoryNotifier: MemoryNotifier,
        AppriseNotifier: lambda: people,
        Notifiers: lambda: Notifiers(people),
        Resting: lambda: Resting(people),
        WithApprovalLinks: lambda: WithApprovalLinks(people, ApprovalLinks("https://anew.example", ("s" * 32,))),
        PrefectNotifier: lambda: PrefectNotifier(PrefectFlows(server.url, attempts=1)),
    }
    return made[kind]()


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda kind: kind.__name__)
def channel(request: pytest.FixtureRequest) -> Generator[Channel]:
    with failing_server() as server:
        server.status = 200
        notifier = _notifier(request.param, server)
        if isinstance(notifier, MemoryNotifier):
            yield Channel(notifier, lambda: len(notifier.sent), server)
        else:
            yield Channel(notifier, lambda: server.requests["POST"], server)


@pytest.mark.parametrize("notification", [LIVE, ASKED], ids=["news", "question"])
def test_sent_notification_is_delivered_once(channel: Channel, notification: Notification) -> None:
    """A notification is never repeated."""
    channel.notifier.send(notification)

    assert channel.delivered() == 1


def test_failing_channel_raises(channel: Channel) -> None:
    """A channel that refuses is a NotificationFailed, not an error of its own kind."""
    if isinstance(channel.notifier, MemoryNotifier):
        return  # it cannot fail
    channel.server.status = 503

    with pytest.raises(NotificationFailed):
        channel.notifier.send(LIVE)

    assert channel.delivered() == 1
