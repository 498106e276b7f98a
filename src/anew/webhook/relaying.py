"""The relay as a background task of the webhook: it runs right after a commit, otherwise every second.

Events that arrive shortly after a hint wait for the next one.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import Flows
from anew.engine.inbox.relay import RelayPass, relay_once
from anew.errors import LedgerUnavailable
from anew.webhook.config import WebhookConfig
from anew.webhook.health import Health

_LONGEST_PAUSE = 30.0  # seconds, while Prefect or the ledger is away

logger = logging.getLogger("anew.relay")


class Relay:
    """Runs `relay_once` until cancelled; `wake` ends the present pause."""

    def __init__(
        self, ledger: Ledger, flows: Flows, config: WebhookConfig, clock: Callable[[], datetime], health: Health
    ) -> None:
        self._ledger = ledger
        self._flows = flows
        self._config = config
        self._clock = clock
        self._health = health
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Run the next pass at once."""
        self._awake.set()

    async def run(self) -> None:
        """Relay until cancelled. No failure ends it."""
        failures = 0
        while True:
            self._awake.clear()
            report = await asyncio.to_thread(self._pass)
            failures = failures + 1 if report is None or report.failed else 0
            if report is not None and (report.hinted or report.started):
                await asyncio.sleep(self._config.hints_apart.total_seconds())
            pause = self._config.relay_interval.total_seconds()
            await self._sleep(min(pause * 2**failures, max(pause, _LONGEST_PAUSE)))

    def _pass(self) -> RelayPass | None:
        config = self._config
        try:
            report = relay_once(
                self._ledger, self._flows, self._clock(), grace=config.grace, longest_wait=config.longest_wait
            )
        except LedgerUnavailable as error:
            logger.warning("relay: the ledger is unavailable: %s", error)
            self._health.relay.down(type(error).__name__)
            return None
        except Exception as error:
            # A process boundary: if the relay died unnoticed, events would wait for the scheduled reconcile.
            logger.exception("relay: unexpected failure, trying again")
            self._health.relay.down(type(error).__name__)
            return None
        self._health.relay.up()
        if report.failed:
            self._health.prefect.down("; ".join(report.failed.values()))
        elif report.hinted or report.started:
            self._health.prefect.up()
        _log(report)
        return report

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass


def _log(report: RelayPass) -> None:
    for flow in report.hinted:
        logger.info("relay: hinted %s", flow)
    for flow in report.started:
        logger.info("relay: started %s, since no flow run had leased its work", flow)
    for flow, reason in report.failed.items():
        logger.warning("relay: Prefect failed for %s, trying again: %s", flow, reason)
