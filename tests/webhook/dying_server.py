"""`python -m tests.webhook.dying_server LEDGER PORT [COMMITS]`: a webhook that dies right after so many commits."""

import os
import sys
from datetime import UTC, datetime
from typing import Any

from anew.adapters.ledger import SqlLedger
from anew.engine.base.ledger import Receipt
from anew.webhook.app import create_apps
from anew.webhook.authentication import Authenticator
from anew.webhook.config import WebhookConfig
from anew.webhook.server import serve
from tests.webhook.serving import SECRET


class DyingLedger(SqlLedger):
    """Ends the process, as a crash does, once its last commit is on the disk."""

    commits = int(sys.argv[3]) if len(sys.argv) > 3 else 10**9

    def receive(self, *args: Any, **kwargs: Any) -> Receipt:
        receipt = super().receive(*args, **kwargs)
        self.commits -= 1
        if self.commits == 0:
            os._exit(9)
        return receipt


if __name__ == "__main__":
    config = WebhookConfig(port=int(sys.argv[2]), operator_port=0)
    ledger = DyingLedger.open(f"sqlite:///{sys.argv[1]}")
    serve(create_apps(ledger, None, config, Authenticator([SECRET]), lambda: datetime.now(UTC)), config)
