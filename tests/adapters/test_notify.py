"""Everybody who is to be told is told, though a channel fails; the link is for people only."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr

from anew.adapters.memory.evidence import MemoryNotifier
from anew.adapters.notify import AppriseNotifier, Notifiers, Resting, WithApprovalLinks
from anew.adapters.prefect.api import PrefectFlows
from anew.adapters.prefect.notifications import PrefectNotifier, notification_event
from anew.core.retrainings.approval_links import ApprovalLinks, Permit
from anew.demo.processes import free_port
from anew.engine.base.ports import Notification
from anew.engine.notifications.notification import APPROVAL_REQUESTED
from anew.errors import InvalidSettings, NotificationFailed

# Apprise imports it for one of its channels.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NOW = datetime(2026, 7, 14, 4, tzinfo=UTC)
LIVE = Notification("rollout.live", "o-1", "price", "price:7 is live", "It takes all traffic.")
ASKED = Notification(APPROVAL_REQUESTED, "r-1", "price", "price waits", "The gate passed.", NOW + timedelta(days=3))
LINKS = ApprovalLinks("https://anew.example", ("a-secret-of-thirty-two-bytes-or-more",))


class Deaf:
    def __init__(self, name: str) -> None:
        self._name = name

    def send(self, notification: Notification) -> None:
        raise NotificationFailed(f"{self._name} does not listen")


def test_every_channel_is_notified() -> None:
    """Every channel is notified."""
    first, second = MemoryNotifier(), MemoryNotifier()
    Notifiers(first, second).send(LIVE)
    assert first.sent == second.sent == [LIVE]


def test_failed_channel_spares_the_others() -> None:
    """A channel that fails does not stop the others, and the error names all failed ones."""
    before, after = MemoryNotifier(), MemoryNotifier()

    with pytest.raises(NotificationFailed, match="chat does not listen; mail does not listen"):
        Notifiers(before, Deaf("chat"), Deaf("mail"), after).send(LIVE)

    assert before.sent == after.sent == [LIVE]


def test_approval_request_has_a_link() -> None:
    """A request for approval gets a link whose token permits its answer."""
    people = MemoryNotifier()

    WithApprovalLinks(people, LINKS, lambda: "link-1").send(ASKED)

    [told] = people.sent
    assert told.text.startswith(ASKED.text)
    assert replace(told, text="") == replace(ASKED, text="")
    token = told.text.rpartition("https://anew.example/approvals/")[2]
    assert ASKED.until is not None
    assert LINKS.check(token, NOW) == Permit("r-1", ASKED.until, "link-1")


@pytest.mark.parametrize("notification", [LIVE, replace(ASKED, kind="retraining.rejected"), replace(ASKED, until=None)])
def test_other_notifications_have_no_link(notification: Notification) -> None:
    """A notification that asks for no approval is sent unchanged, without a link."""
    people = MemoryNotifier()
    WithApprovalLinks(people, LINKS).send(notification)
    assert people.sent == [notification]


def test_link_ids_are_unique() -> None:
    """Two links to the same request have two ids."""
    people = MemoryNotifier()
    telling = WithApprovalLinks(people, LINKS)
    telling.send(ASKED)
    telling.send(ASKED)
    permits = [LINKS.check(each.text.rpartition("/")[2], NOW) for each in people.sent]
    assert permits[0].link_id != permits[1].link_id


def test_event_names_model_and_subject() -> None:
    """A notification event is about its model and related to the record it reports."""
    event = notification_event(LIVE, UUID(int=1), NOW)

    assert event["event"] == "anew.rollout.live"
    assert event["resource"]["prefect.resource.id"] == "anew.model.price"
    assert event["related"] == [{"prefect.resource.id": "anew.rollout.o-1", "prefect.resource.role": "about"}]
    assert event["payload"]["about"] == "o-1"
    assert event["payload"]["text"] == LIVE.text


def test_unavailable_prefect_fails_the_notification() -> None:
    """A Prefect server that is down makes the notification fail."""
    with (
        PrefectFlows(f"http://127.0.0.1:{free_port()}/api") as nobody,
        pytest.raises(NotificationFailed, match="price"),
    ):
        PrefectNotifier(nobody).send(LIVE)


def test_no_addresses_is_no_error() -> None:
    """Without addresses a notification is sent to no channel and nothing fails."""
    AppriseNotifier([]).send(LIVE)


def test_unknown_address_is_refused_secretly() -> None:
    """An address that Apprise does not know is refused, and the error does not show it."""
    with pytest.raises(InvalidSettings, match="number 1") as caught:
        AppriseNotifier([SecretStr("nothing://token-that-is-secret")])
    assert "token-that-is-secret" not in str(caught.value)


def test_failed_channel_hides_its_address() -> None:
    """A channel that does not answer makes the notification fail, and the error hides its address."""
    address = f"json://127.0.0.1:{free_port()}/token-that-is-secret"
    with pytest.raises(NotificationFailed) as caught:
        AppriseNotifier([SecretStr(address)]).send(LIVE)
    assert "token-that-is-secret" not in str(caught.value)


class Moody:
    """Does not listen until told that it does, and counts who asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.listens = False

    def send(self, notification: Notification) -> None:
        self.asked += 1
        if not self.listens:
            raise NotificationFailed("not now")


def test_failed_channel_pauses_a_minute() -> None:
    """A channel that failed is not tried again for a minute."""
    clock = [0.0]
    channel = Moody()
    notifier = Resting(channel, lambda: clock[0])
    for second in (0.0, 1.0, 59.0):
        clock[0] = second
        with pytest.raises(NotificationFailed):
            notifier.send(LIVE)
    assert channel.asked == 1

    channel.listens, clock[0] = True, 60.0
    notifier.send(LIVE)

    assert channel.asked == 2


def test_questions_ignore_the_pause() -> None:
    """A request for approval is sent even to a channel that is paused."""
    channel = Moody()
    notifier = Resting(channel, lambda: 0.0)
    for notification in (LIVE, ASKED):
        with pytest.raises(NotificationFailed):
            notifier.send(notification)

    assert channel.asked == 2


def test_decisions_are_not_sent_to_prefect() -> None:
    """Notifications of decisions are not sent to Prefect as events."""
    nowhere = PrefectFlows(f"http://127.0.0.1:{free_port()}/api", attempts=1)  # it would fail if it were asked

    PrefectNotifier(nowhere).send(replace(LIVE, kind="decision.retrain"))

    with pytest.raises(NotificationFailed):
        PrefectNotifier(nowhere).send(LIVE)
