"""`anew serve`."""

import logging
from datetime import UTC, datetime

from anew.cli.output import print_json
from anew.core.base.token_bucket import TokenBucket
from anew.settings import Settings, load_settings
from anew.webhook.config import WebhookConfig
from anew.wiring import approval_links, open_ledger, prefect_flows, webhook_authenticator


def serve(*, host: str | None = None, port: int | None = None, relay: bool = True, json: bool = False) -> None:
    """Run the webhook that Event Grid delivers to. It stores events before it answers.

    Parameters
    ----------
    host
        Address to listen on; default: webhook.host of the settings. Other than loopback it needs credentials.
    port
        Port to listen on; default: webhook.port of the settings.
    relay
        Notify Prefect of new events; without it they wait for the reconcile deployment.
    json
        Print one JSON object with the address before serving.
    """
    from anew.webhook.app import create_apps
    from anew.webhook.approvals import ApprovalsEndpoint
    from anew.webhook.server import serve as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # httpx logs whole URLs, with their secrets, at INFO.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load_settings()
    config = webhook_config(settings, host, port)
    flows = prefect_flows(settings) if relay else None
    authenticator = webhook_authenticator(settings, on_loopback=config.on_loopback)
    ledger, links = open_ledger(settings), approval_links(settings)
    approvals = ApprovalsEndpoint(links, ledger, _now) if links else None
    apps = create_apps(ledger, flows, config, authenticator, _now, approvals)
    url = f"http://{config.host}:{config.port}/events"
    operator_url = "http://{}:{}".format(*config.operator_address)
    if json:
        print_json({"url": url, "operator_url": operator_url, "relay": relay})
    else:
        print(f"Events of {settings.azure.workspace} at {url}; its state at {operator_url}/status")
    run(apps, config)


def _now() -> datetime:
    return datetime.now(UTC)


def webhook_config(settings: Settings, host: str | None, port: int | None) -> WebhookConfig:
    """The configuration of the webhook, from settings and flags."""
    webhook = settings.webhook
    return WebhookConfig(
        host=host or webhook.host,
        port=webhook.port if port is None else port,
        operator_host=webhook.operator_host,
        operator_port=webhook.operator_port,
        subscriptions=frozenset(webhook.subscriptions),
        workspaces=frozenset({settings.workspace}),
        max_body=webhook.max_body,
        rate=TokenBucket(burst=2 * webhook.requests_per_second, per_second=webhook.requests_per_second),
    )
