"""Serving the webhook with uvicorn."""

import uvicorn
from starlette.applications import Starlette

from anew.webhook.config import WebhookConfig


def serve(app: Starlette, config: WebhookConfig) -> None:
    """Serve until a signal ends it. uvicorn's access log is off because it shows query strings, which hold secrets."""
    uvicorn.run(
        app, host=config.host, port=config.port, access_log=False, log_config=None, server_header=False, workers=1
    )
