"""`anew serve`."""

import logging
from datetime import UTC, datetime

from anew.cli.output import print_json
from anew.settings import Settings, load_settings
from anew.webhook.config import WebhookConfig
from anew.wiring import open_ledger


def serve(*, host: str | None = None, port: int | None = None, relay: bool = True, json: bool = False) -> None:
    """Run the webhook that Event Grid delivers to. Events are kept before they are answered.

    Parameters
    ----------
    host
        Address to listen on; default: webhook.host of the settings. Off loopback a secret must be set.
    port
        Port to listen on; default: webhook.port of the settings.
    relay
        Tell Prefect of new events; without it they wait for the reconcile deployment.
    json
        Print one JSON object with the address before serving.
    """
    from anew.adapters.prefect_api import PrefectFlows
    from anew.webhook.app import create_app
    from anew.webhook.server import serve as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # httpx logs whole URLs at this level.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load_settings()
    config = webhook_config(settings, host, port)
    auth = settings.prefect.auth.get_secret_value() if settings.prefect.auth else None
    flows = PrefectFlows(settings.prefect.api_url, auth) if relay else None
    app = create_app(open_ledger(settings), flows, config, lambda: datetime.now(UTC))
    url = f"http://{config.host}:{config.port}/events"
    if json:
        print_json({"url": url, "relay": relay})
    else:
        print(f"Events of {settings.azure.workspace} at {url}")
    run(app, config)


def webhook_config(settings: Settings, host: str | None, port: int | None) -> WebhookConfig:
    """What the webhook is told, from settings and flags."""
    return WebhookConfig(
        host=host or settings.webhook.host,
        port=settings.webhook.port if port is None else port,
        secrets=tuple(secret.get_secret_value() for secret in settings.webhook.secrets),
        subscriptions=frozenset(settings.webhook.subscriptions),
        workspaces=frozenset({settings.workspace}),
    )
