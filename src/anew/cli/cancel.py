"""`anew cancel`."""

import getpass
import time
from contextlib import suppress
from datetime import UTC, datetime

from rich.console import Console

from anew.cli.output import print_json
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.context import Engine
from anew.errors import TemporaryError
from anew.settings import load_settings

_POLL = 2.0  # seconds


def cancel(about: str, *, reason: str, wait: float = 60.0, json: bool = False) -> int:
    """Cancel the retraining of a model that is under way, in Azure too. Exits 1 when it still runs after the wait.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...).
    reason
        Why, for the audit trail.
    wait
        Seconds to wait for Azure to end the run; after that reconcile goes on with it.
    json
        Print one JSON object.
    """
    from anew.engine.training.stopping import request_stop
    from anew.wiring import build_engine

    actor = getpass.getuser()
    engine = build_engine(load_settings(), actor)
    stopped = request_stop(engine, about, f"{reason} ({actor})", _now())
    with Console(stderr=True).status(f"{stopped.id}: asking Azure to end what runs of it"):
        ended = _until_ended(engine, stopped, wait)
    if json:
        print_json({"retraining": ended.id, "model": ended.model, "state": ended.state, "reason": ended.reason})
    elif ended.is_open:
        print(f"{ended.id} of {ended.model} is still {ended.state}; reconcile goes on. See: anew explain {ended.id}")
    else:
        print(f"{ended.id} of {ended.model} is {ended.state}; nothing of it runs in Azure.")
    return 1 if ended.is_open else 0


def _until_ended(engine: Engine, retraining: Retraining, patience: float) -> Retraining:
    from anew.engine.retrainings.advance import advance_retraining

    until = time.monotonic() + patience
    while True:
        with suppress(TemporaryError):  # what was asked for is written down; Azure is asked again
            retraining = advance_retraining(engine, retraining, _now())
        if not retraining.is_open or time.monotonic() >= until:
            return retraining
        time.sleep(_POLL)


def _now() -> datetime:
    return datetime.now(UTC)
