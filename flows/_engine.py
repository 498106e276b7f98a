"""The engine of this process, and the clock: what every flow starts from."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from anew.adapters.policy_folder import PolicyFolder
from anew.adapters.prefect.forms import PrefectForms
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Ledger
from anew.engine.promotion import forms
from anew.settings import load_settings
from anew.wiring import build_engine, open_ledger, prefect_flows

Report = TypeVar("Report")

_settings = cache(load_settings)
_ledger = cache(lambda: open_ledger(_settings()))
_forms = cache(lambda: PrefectForms(prefect_flows(_settings())))
_policies = cache(lambda: PolicyFolder(_settings().policies))


@cache
def _engine() -> Engine:
    engine = build_engine(_settings(), "flows", _policies().current())
    # Modules, clients and policies stay for the worker's life. Left in the heap, they put off full collections until
    # megabytes of old answers have added up (docs/adr/0018).
    gc.collect()
    gc.freeze()
    return engine


def _current() -> Engine:
    # Clients live as long as the worker; an edited policy counts from the next run.
    return replace(_engine(), policies=_policies().current())


async def run_on_ledger(use_case: Callable[[Ledger, datetime], Report]) -> Report:
    """Run a use-case that needs no policy and nothing of Azure."""
    return await asyncio.to_thread(lambda: use_case(_ledger(), datetime.now(UTC)))


async def sync_forms() -> forms.SyncedForms:
    """Have one open form for each retraining that awaits approval."""
    return await run_on_ledger(lambda ledger, now: forms.sync_forms(ledger, _forms(), now))


async def run(use_case: Callable[[Engine, datetime], Report]) -> Report:
    """Run a use-case off the event loop: the Azure ML SDK has no async client."""
    return await asyncio.to_thread(lambda: use_case(_current(), datetime.now(UTC)))
