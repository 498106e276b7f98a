"""The webhook as a server, for tests that ask it over HTTP."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import uvicorn

from anew.core.retrainings.approval_links import ApprovalLinks
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import Flows
from anew.webhook.app import Apps, create_apps
from anew.webhook.approvals import ApprovalsEndpoint
from anew.webhook.authentication import Authenticator
from anew.webhook.config import WebhookConfig
from anew.webhook.failed_attempts import FailureLimit
from anew.webhook.server import server_config
from tests.event_data import NOW, WORKSPACE

SECRET = "a-secret-of-some-length"
URL = f"/events?code={SECRET}"
LINKS = ApprovalLinks("https://anew.example", ("a-secret-of-thirty-two-bytes-or-more",))
CONFIG = WebhookConfig(port=0, subscriptions=frozenset({"anew"}), workspaces=frozenset({WORKSPACE}))


@dataclass(frozen=True)
class Webhook:
    """Clients of both ports."""

    public: httpx.Client
    operator: httpx.Client


def apps_of(
    ledger: Ledger,
    flows: Flows | None = None,
    config: WebhookConfig = CONFIG,
    clock: Callable[[], datetime] = lambda: NOW,
    links: ApprovalLinks | None = None,
) -> Apps:
    # Tests that guess are not to be slowed down; that others are is tested beside the authenticator.
    authenticator = Authenticator([SECRET], limit=FailureLimit(burst=10**6))
    approvals = ApprovalsEndpoint(links, ledger, clock) if links else None
    return create_apps(ledger, flows, config, authenticator, clock, approvals)


@contextmanager
def webhook_of(
    ledger: Ledger, flows: Flows | None = None, config: WebhookConfig = CONFIG, **terms: Any
) -> Generator[Webhook]:
    apps = apps_of(ledger, flows, config, **terms)
    with ExitStack() as stack:
        # The operator's app has no lifespan of its own, and ends with the public one's.
        public = stack.enter_context(serving(server_config(apps, config)))
        operator = stack.enter_context(serving(uvicorn.Config(apps.operator, port=0, lifespan="off", log_config=None)))
        yield Webhook(
            stack.enter_context(httpx.Client(base_url=public, trust_env=False, timeout=30)),
            stack.enter_context(httpx.Client(base_url=operator, trust_env=False, timeout=30)),
        )


@contextmanager
def serving(config: uvicorn.Config) -> Generator[str]:
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def until(holds: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
