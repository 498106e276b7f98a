"""Telling people of decisions, through Apprise: one URL a channel (Teams, Slack, mail, a plain webhook, ...)."""

from collections.abc import Sequence

from pydantic import SecretStr

from anew.errors import InvalidSettings, NotificationFailed


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

    def tell(self, title: str, text: str) -> None:
        if len(self._channels) and not self._channels.notify(title=title, body=text):
            raise NotificationFailed(f"'{title}' did not reach every channel of notify.urls")
