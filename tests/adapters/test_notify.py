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


def test_every_channel_is_told() -> None:
    first, second = MemoryNotifier(), MemoryNotifier()
    Notifiers(first, second).send(LIVE)
    assert first.sent == second.sent == [LIVE]


def test_channel_that_fails_keeps_no_other_from_being_told() -> None:
    before, after = MemoryNotifier(), MemoryNotifier()

    with pytest.raises(NotificationFailed, match="chat does not listen; mail does not listen"):
        Notifiers(before, Deaf("chat"), Deaf("mail"), after).send(LIVE)

    assert before.sent == after.sent == [LIVE]


def test_request_for_approval_has_a_link_that_answers_it() -> None:
    people = MemoryNotifier()

    WithApprovalLinks(people, LINKS, lambda: "link-1").send(ASKED)

    [told] = people.sent
    assert told.text.startswith(ASKED.text)
    assert replace(told, text="") == replace(ASKED, text="")
    token = told.text.rpartition("https://anew.example/approvals/")[2]
    assert ASKED.until is not None
    assert LINKS.check(token, NOW) == Permit("r-1", ASKED.until, "link-1")


@pytest.mark.parametrize("notification", [LIVE, replace(ASKED, kind="retraining.rejected"), replace(ASKED, until=None)])
def test_other_news_has_no_link(notification: Notification) -> None:
    people = MemoryNotifier()
    WithApprovalLinks(people, LINKS).send(notification)
    assert people.sent == [notification]


def test_two_links_have_two_ids() -> None:
    people = MemoryNotifier()
    telling = WithApprovalLinks(people, LINKS)
    telling.send(ASKED)
    telling.send(ASKED)
    permits = [LINKS.check(each.text.rpartition("/")[2], NOW) for each in people.sent]
    assert permits[0].link_id != permits[1].link_id


def test_event_is_of_the_model_and_related_to_what_it_is_about() -> None:
    event = notification_event(LIVE, UUID(int=1), NOW)

    assert event["event"] == "anew.rollout.live"
    assert event["resource"]["prefect.resource.id"] == "anew.model.price"
    assert event["related"] == [{"prefect.resource.id": "anew.rollout.o-1", "prefect.resource.role": "about"}]
    assert event["payload"]["about"] == "o-1"
    assert event["payload"]["text"] == LIVE.text


def test_prefect_that_is_away_is_a_failed_notification() -> None:
    with (
        PrefectFlows(f"http://127.0.0.1:{free_port()}/api") as nobody,
        pytest.raises(NotificationFailed, match="price"),
    ):
        PrefectNotifier(nobody).send(LIVE)


def test_without_addresses_nobody_is_told_and_nothing_fails() -> None:
    AppriseNotifier([]).send(LIVE)


def test_address_that_apprise_does_not_know_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidSettings, match="number 1") as caught:
        AppriseNotifier([SecretStr("nothing://token-that-is-secret")])
    assert "token-that-is-secret" not in str(caught.value)


def test_channel_that_does_not_answer_is_a_failed_notification_without_its_address() -> None:
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


def test_channel_that_failed_is_left_alone_for_a_minute() -> None:
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


def test_question_is_put_to_a_channel_that_rests_all_the_same() -> None:
    channel = Moody()
    notifier = Resting(channel, lambda: 0.0)
    for notification in (LIVE, ASKED):
        with pytest.raises(NotificationFailed):
            notifier.send(notification)

    assert channel.asked == 2


def test_decisions_are_no_prefect_events() -> None:
    nowhere = PrefectFlows(f"http://127.0.0.1:{free_port()}/api", attempts=1)  # it would fail if it were asked

    PrefectNotifier(nowhere).send(replace(LIVE, kind="decision.retrain"))

    with pytest.raises(NotificationFailed):
        PrefectNotifier(nowhere).send(LIVE)
