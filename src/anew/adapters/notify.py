"""Notifications to people, through Apprise: one URL for each channel (Teams, Slack, mail, a plain webhook, ...)."""

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

_PAUSE = 60.0  # seconds


class AppriseNotifier:
    """Implements Notifier. An address contains its token, so no error shows an address."""

    def __init__(self, urls: Sequence[SecretStr]) -> None:
        import apprise

        self._channels = apprise.Apprise()
        for number, url in enumerate(urls, start=1):
            if not self._channels.add(url.get_secret_value()):
                raise InvalidSettings(
                    f"settings: notify.urls: number {number} is not an address that Apprise knows",
                    advice="See https://github.com/caronc/apprise/wiki, then run: anew status",
                )

    def send(self, notification: Notification) -> None:
        if len(self._channels) and not self._channels.notify(title=notification.title, body=notification.text):
            raise NotificationFailed(f"'{notification.title}' did not reach every channel of notify.urls")


class Notifiers:
    """Implements Notifier by several others. One that fails does not stop the others."""

    def __init__(self, *notifiers: Notifier) -> None:
        self._notifiers = notifiers

    def send(self, notification: Notification) -> None:
        reasons: list[str] = []
        for notifier in self._notifiers:
            try:
                notifier.send(notification)
            except NotificationFailed as error:
                reasons.append(str(error))
        if reasons:
            raise NotificationFailed("; ".join(reasons))


class Resting:
    """Implements Notifier by another one, which is not used for a minute after it failed: waiting for a channel that is
    down, once for each of a thousand notifications, would delay the work. A request for approval is always sent.
    """

    def __init__(self, notifier: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier = notifier
        self._clock = clock
        self._paused_until = -math.inf

    def send(self, notification: Notification) -> None:
        if notification.kind != APPROVAL_REQUESTED and self._clock() < self._paused_until:
            raise NotificationFailed(f"'{notification.title}' was not sent: the channel failed less than a minute ago")
        try:
            self._notifier.send(notification)
        except NotificationFailed:
            self._paused_until = self._clock() + _PAUSE
            raise


class WithApprovalLinks:
    """Implements Notifier by another one, and adds to each request for approval a link to answer it.

    Everybody who reads the link can answer. Use it only for channels whose readers may approve.
    """

    def __init__(
        self, notifier: Notifier, links: ApprovalLinks, new_id: Callable[[], str] = lambda: token_hex(8)
    ) -> None:
        self._notifier = notifier
        self._links = links
        self._new_id = new_id

    def send(self, notification: Notification) -> None:
        if notification.kind == APPROVAL_REQUESTED and notification.until is not None:
            link = self._links.link(Permit(notification.about, notification.until, self._new_id()))
            notification = replace(notification, text=f"{notification.text}\n\nApprove or reject: {link}")
        self._notifier.send(notification)
