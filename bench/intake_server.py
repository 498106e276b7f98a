"""The servers of `bench.intake`: the webhook on a ledger file, and the floor, a handler that reads and answers."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from anew.adapters.ledger import SqlLedger
from anew.core.base.token_bucket import TokenBucket
from anew.webhook.app import Apps, create_apps
from anew.webhook.authentication import Authenticator
from anew.webhook.config import WebhookConfig
from anew.webhook.server import serve

SECRET = "a-secret-of-the-bench"


def main() -> None:
    """`python -m bench.intake_server webhook|floor PORT LEDGER`."""
    kind, port, ledger = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    config = WebhookConfig(port=port, operator_port=0, rate=TokenBucket(burst=1e9, per_second=1e9))
    apps = create_apps(
        SqlLedger.open(f"sqlite:///{ledger}"), None, config, Authenticator([SECRET]), lambda: datetime.now(UTC)
    )
    if kind == "floor":
        apps = Apps(Starlette(routes=[Route("/events", _read, methods=["POST"])]), apps.operator)
    serve(apps, config)


async def _read(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse({"stored": 0, "ignored": 0, "rejected": 0})


if __name__ == "__main__":
    main()
