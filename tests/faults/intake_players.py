"""The webhook and its relay as processes that die: served by uvicorn as in production, and asked by Event Grid."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from anew.core.events.event import Event
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import Flows
from anew.engine.inbox.relay import GRACE, relay_once
from anew.webhook.app import create_apps
from anew.webhook.config import WebhookConfig
from anew.webhook.server import serve
from anew.wiring import open_ledger, webhook_authenticator
from tests.faults.boundaries import Killer, Recorder, Watch, Watched
from tests.faults.players import CALLS
from tests.faults.world import World, state_of


class Unwatched:
    """Nobody watches."""

    def before(self, call: str) -> None:
        """Nothing."""

    def after(self, call: str) -> None:
        """Nothing."""


class FileFlows:
    """A Prefect server in a file that outlives its client: one line a request, one flow run for a key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def hint(self, event: Event) -> None:
        self._append("hint", event.key)

    def start(self, deployment: str, idempotency_key: str, parameters: Mapping[str, Any]) -> str:
        self._append("start", idempotency_key)
        return idempotency_key

    def requests(self, kind: str) -> list[str]:
        """What was asked for, in order."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [value for name, value in map(json.loads, lines) if name == kind]

    def _append(self, kind: str, value: str) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps([kind, value]) + "\n")


def serve_webhook(world: World, port: int, gap: int | None) -> None:
    """Serve the webhook until killed, or until it kills itself in this gap of the one call that a delivery takes."""
    watch: Watch = Unwatched() if gap is None else Killer(gap, 1, world.folder / CALLS)
    ledger = cast(Ledger, Watched(open_ledger(world.settings()), Ledger, "ledger", watch))
    config = WebhookConfig(port=port, operator_port=0)
    authenticator = webhook_authenticator(world.settings(), on_loopback=True)
    serve(create_apps(ledger, None, config, authenticator, lambda: datetime.now(UTC)), config)


def rehearse_relay(world: World, began: datetime) -> None:
    """Relay without a fault, and note every call."""
    recorder = Recorder(lambda: state_of(world, azure=False))
    _relay(world, began, recorder, passes=2)
    recorder.save(world.folder / CALLS)


def relay_and_die(world: World, began: datetime, gap: int, total: int) -> None:
    """Relay until this gap."""
    _relay(world, began, Killer(gap, total, world.folder / CALLS), passes=2)


def relay_on(world: World, began: datetime) -> None:
    """Be the relay that is started after the other one died."""
    _relay(world, began + GRACE, Unwatched(), passes=3)


def _relay(world: World, began: datetime, watch: Watch, passes: int) -> None:
    """Passes one grace apart, until there is a flow run, which then claims the entry."""
    requests = FileFlows(world.folder / "flows")
    ledger = cast(Ledger, Watched(open_ledger(world.settings()), Ledger, "ledger", watch))
    flows = cast(Flows, Watched(requests, Flows, "flows", watch))
    for number in range(passes):
        relay_once(ledger, flows, began + number * GRACE)
        if requests.requests("start"):
            return
