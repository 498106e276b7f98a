"""Telling people of what happens, through Apprise: one URL a channel (Teams, Slack, mail, a plain webhook, ...)."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from secrets import token_hex

from pydantic import SecretStr

from anew.core.retrainings.approval_links import ApprovalLinks, Permit
from anew.engine.base.ports import Notification, Notifier
from anew.engine.notifications.notification import APPROVAL_REQUESTED
from anew.errors import InvalidSettings, NotificationFailed

_REST = 60.0  # seconds


class AppriseNotifier:
    """Implements Notifier. An address holds its token, so none is ever part of an error."""

    def __init__(self, urls: Sequence[SecretStr]) -> None:
        import apprise

        self._channels = apprise.Apprise()
        for number, url in enumerate(urls, start=1):
            if not self._channels.add(url.get_secret_value()):
                raise InvalidSettings(
                    f"settings: notify.urls: number {number} is no address that Apprise knows",
                    advice="See https://github.com/caronc/apprise/wiki, then run: anew status",
                )

    def send(self, news: Notification) -> None:
        if len(self._channels) and not self._channels.notify(title=news.title, body=news.text):
            raise NotificationFailed(f"'{news.title}' did not reach every channel of notify.urls")


class Notifiers:
    """Implements Notifier by several, each of which is told though another cannot be."""

    def __init__(self, *notifiers: Notifier) -> None:
        self._notifiers = notifiers

    def send(self, news: Notification) -> None:
        reasons: list[str] = []
        for notifier in self._notifiers:
            try:
                notifier.send(news)
            except NotificationFailed as error:
                reasons.append(str(error))
        if reasons:
            raise NotificationFailed("; ".join(reasons))


class Resting:
    """Implements Notifier by another one, which is left alone for a minute after it failed: to wait for a channel that
    is down, for each of a thousand pieces of news, would hold up the work. A question is always tried.
    """

    def __init__(self, notifier: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier = notifier
        self._clock = clock
        self._rests_until = -math.inf

    def send(self, news: Notification) -> None:
        if news.kind != APPROVAL_REQUESTED and self._clock() < self._rests_until:
            raise NotificationFailed(f"'{news.title}' was not sent: the channel failed less than a minute ago")
        try:
            self._notifier.send(news)
        except NotificationFailed:
            self._rests_until = self._clock() + _REST
            raise


class WithApprovalLinks:
    """Implements Notifier by another one, and adds to what asks for an approval the link that gives it.

    Whoever reads the link can answer: put it in front of channels whose readers may, not of what everybody sees.
    """

    def __init__(
        self, notifier: Notifier, links: ApprovalLinks, new_id: Callable[[], str] = lambda: token_hex(8)
    ) -> None:
        self._notifier = notifier
        self._links = links
        self._new_id = new_id

    def send(self, news: Notification) -> None:
        if news.kind == APPROVAL_REQUESTED and news.until is not None:
            link = self._links.link(Permit(news.about, news.until, self._new_id()))
            news = replace(news, text=f"{news.text}\n\nApprove or reject: {link}")
        self._notifier.send(news)
