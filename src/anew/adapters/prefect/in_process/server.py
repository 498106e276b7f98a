"""`python -m anew.adapters.prefect.in_process.server` is `prefect server start` without two of that server's stalls.

A statement that failed ("database is locked") leaves its cursor in a reference cycle. When the cyclic garbage collector
frees it on the event loop's thread while the cursor's connection waits for the write lock in a thread of its own, the
event loop waits for the connection, the connection for the lock, and the holder of the lock for the event loop: nothing
moves until SQLite's busy time-out of 60 s (docs/adr/0013). Here the collector runs on a thread that may wait.

On any database: each action of an automation asks for the app that runs, which is found by a hash of all settings.
To make it, and to set logging up once more, takes 150 ms in which the event loop stands still. Here it is done once.
"""

import functools
import gc
import itertools
import sys
import threading
import time
from typing import Any

_COLLECT_EVERY = 2.0  # seconds, of what is young
_COLLECT_ALL_EVERY = 30  # rounds; a look at everything takes some tenths of a second


def main() -> None:
    """Run the Prefect server in the foreground; arguments are those of `prefect server start`."""
    gc.disable()
    threading.Thread(target=_collect_forever, name="garbage collector", daemon=True).start()
    remember_app()
    from prefect.cli import app

    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    app()


def remember_app() -> None:
    """Have this process's server found once: its settings do not change while it runs."""
    from prefect.server.api import server

    create_app = server.create_app
    running = functools.cache(create_app)

    def app(*args: Any, **options: Any) -> Any:
        return create_app(*args, **options) if args or options else running()

    server.create_app = app


def _collect_forever() -> None:
    for round_ in itertools.count(1):
        time.sleep(_COLLECT_EVERY)
        gc.collect(1 if round_ % _COLLECT_ALL_EVERY else 2)


if __name__ == "__main__":
    main()
