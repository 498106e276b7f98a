"""`python -m anew.adapters.prefect_server` is `prefect server start` without that server's stalls on SQLite.

A statement that failed ("database is locked") leaves its cursor in a reference cycle. When the cyclic garbage collector
frees it on the event loop's thread while the cursor's connection waits for the write lock in a thread of its own, the
event loop waits for the connection, the connection for the lock, and the holder of the lock for the event loop: nothing
moves until SQLite's busy time-out of 60 s (docs/adr/0013). Here the collector runs on a thread that may wait.
"""

import gc
import itertools
import sys
import threading
import time

_COLLECT_EVERY = 2.0  # seconds, of what is young
_COLLECT_ALL_EVERY = 30  # rounds; a look at everything takes some tenths of a second


def main() -> None:
    """Run the Prefect server in the foreground; arguments are those of `prefect server start`."""
    gc.disable()
    threading.Thread(target=_collect_forever, name="garbage collector", daemon=True).start()
    from prefect.cli import app

    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    app()


def _collect_forever() -> None:
    for round_ in itertools.count(1):
        time.sleep(_COLLECT_EVERY)
        gc.collect(1 if round_ % _COLLECT_ALL_EVERY else 2)


if __name__ == "__main__":
    main()
