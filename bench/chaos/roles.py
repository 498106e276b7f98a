"""The processes of a run. Each function is one of them: forked from a process that has imported everything already, so
that one that was killed is back in half a second.
"""

import os
import sys
from pathlib import Path

PRELOAD = [
    "bench.chaos.roles",
    "anew.wiring",
    "anew.adapters.azure.machine_learning.workspace",
    "anew.adapters.azure.data_factory.launcher",
    "anew.adapters.azure.machine_learning.missed_events",
    "anew.adapters.notify",
    "anew.adapters.azure.machine_learning.online_endpoints",
    "anew.adapters.azure.machine_learning.batch_endpoints",
    "anew.adapters.azure.machine_learning.monitor_history",
    "anew.adapters.prefect.in_process.worker",
    "anew.adapters.prefect.api",
    "anew.webhook.app",
    "anew.webhook.server",
    "anew.emulator.app",
    "flows.retraining",
    "flows.promotion",
    "flows.deployment",
    "flows.reconciliation",
]


def local_azure(port: int, folder: Path, log: Path) -> None:
    """Local Azure."""
    _write_to(log)
    from anew.emulator.app import serve

    serve("127.0.0.1", port, folder)


def webhook(port: int, log: Path) -> None:
    """A webhook with its relay."""
    _write_to(log)
    from anew.cli.serve import serve

    serve(port=port)


def worker(name: str, log: Path) -> None:
    """A Prefect worker that runs flows inside itself."""
    _write_to(log)
    from prefect.cli import app

    sys.argv = ["prefect", "worker", "start", "--pool", "anew", "--type", "anew-in-process", "--name", name]
    app()


def prefect_server(log: Path) -> None:
    """The Prefect server."""
    _write_to(log)
    from anew.adapters.prefect.in_process.server import main

    sys.argv = ["prefect"]
    main()


def _write_to(log: Path) -> None:
    os.setpgid(0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
