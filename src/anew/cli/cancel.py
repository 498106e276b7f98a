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
    """Cancel a retraining that is under way, in Azure too. Exits 1 when it still runs after the wait.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...).
    reason
        The reason, for the audit trail.
    wait
        Seconds to wait until Azure has ended the run; after that reconcile continues.
    json
        Print one JSON object.
    """
    from anew.engine.training.stopping import request_stop
    from anew.wiring import build_engine

    actor = getpass.getuser()
    engine = build_engine(load_settings(), actor)
    stopped = request_stop(engine, about, f"{reason} ({actor})", _now())
    with Console(stderr=True).status(f"{stopped.id}: ending its runs in Azure"):
        ended = _until_ended(engine, stopped, wait)
    if json:
        print_json({"retraining": ended.id, "model": ended.model, "state": ended.state, "reason": ended.reason})
    elif ended.is_open:
        print(f"{ended.id} of {ended.model} is still {ended.state}; reconcile continues. See: anew explain {ended.id}")
    else:
        print(f"{ended.id} of {ended.model} is {ended.state}; none of its runs is left in Azure.")
    return 1 if ended.is_open else 0


def _until_ended(engine: Engine, retraining: Retraining, seconds: float) -> Retraining:
    from anew.engine.retrainings.advance import advance_retraining

    until = time.monotonic() + seconds
    while True:
        with suppress(TemporaryError):  # the request is recorded; Azure is asked again
            retraining = advance_retraining(engine, retraining, _now())
        if not retraining.is_open or time.monotonic() >= until:
            return retraining
        time.sleep(_POLL)


def _now() -> datetime:
    return datetime.now(UTC)
