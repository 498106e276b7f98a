"""Two webhooks and three workers on one database: whoever comes first, nothing is decided, launched or opened twice.

The webhooks are processes, as in production; the workers are threads, each with connections of its own, for they share
an Azure in memory.
"""

import multiprocessing
import random
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from threading import Event as Flag
from threading import RLock

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory.azure import MemoryAzure
from anew.core.events.event import Event
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, RetrainingState
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, RolloutState
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Ledger
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.inbox import intake
from anew.engine.reconcile import reconcile
from anew.engine.retrainings.finished_runs import handle_finished_runs
from tests.builders import EVALUATE_JOB, deploy_rule, drift_event, evaluation, make_engine, policy, serve
from tests.places import Place

MODELS = tuple(f"model-{number}" for number in range(20))
EVENTS_OF_A_MODEL = 10
BATCH = 20
AT_MOST = 120  # seconds
POLICIES = tuple(
    policy(model, monitors=[f"{model}-drift"], deploy=[deploy_rule(f"{model}-online")]) for model in MODELS
)


class SharedAzure(MemoryAzure):
    """Azure as several threads see it: it answers one call after the other."""

    def __init__(self) -> None:
        super().__init__(lambda: datetime.now(UTC))
        self._turn = RLock()

    @contextmanager
    def call(self, name: str, send_before: datetime | None = None) -> Generator[None]:
        with self._turn, super().call(name, send_before):
            yield

    def settle(self) -> None:
        with self._turn:
            super().settle()


def made_azure() -> SharedAzure:
    """Version 1 of each model serves, and a better one will come out of a training."""
    azure = SharedAzure()
    azure.endings[EVALUATE_JOB] = evaluation()
    for model in MODELS:
        serve(azure, "1", model=model, endpoint=f"{model}-online")
    return azure


def made_drift(now: datetime) -> list[Event]:
    return [
        drift_event(f"{model}-{number}", at=now, monitor=f"{model}-drift")
        for model in MODELS
        for number in range(EVENTS_OF_A_MODEL)
    ]


def shuffled_batches(events: Sequence[Event], times: int, seed: int) -> list[list[Event]]:
    """Every event so many times, in an order of its own for each seed, as requests of several events."""
    deliveries = list(events) * times
    random.Random(seed).shuffle(deliveries)
    return [deliveries[start : start + BATCH] for start in range(0, len(deliveries), BATCH)]


def deliver(url: str, batches: Sequence[Sequence[Event]]) -> None:
    """What one webhook does. It runs in a process of its own."""
    ledger = SqlLedger.open(url, migrate=False)
    for batch in batches:
        intake.receive(ledger, batch, datetime.now(UTC))
    ledger.close()


def work(engine: Engine, azure: SharedAzure, delivered: Flag, stopped: Flag) -> None:
    """What one worker does, until there is nothing left to do."""
    while not stopped.is_set():
        for step in (decide_pending, handle_finished_runs, reconcile):
            step(engine, datetime.now(UTC))
        azure.settle()
        if delivered.is_set() and not is_anything_open(engine.ledger):
            return


def is_anything_open(ledger: Ledger) -> bool:
    is_waiting = any(entry.settled_at is None for entry in ledger.entries(1000))
    return is_waiting or bool(ledger.retrainings(OPEN_RETRAINING) or ledger.rollouts(OPEN_ROLLOUT))


def deliver_and_work(place: Place, azure: SharedAzure, events: Sequence[Event]) -> None:
    """Everybody at once. Raises what anybody raised."""
    delivered, stopped = Flag(), Flag()
    engines = [make_engine(azure, place.open(), *POLICIES) for _ in range(3)]
    with webhook_processes() as webhooks, ThreadPoolExecutor(3) as workers:
        deliveries = [webhooks.submit(deliver, place.url, shuffled_batches(events, 3, seed)) for seed in range(2)]
        working = [workers.submit(work, engine, azure, delivered, stopped) for engine in engines]
        try:
            raise_first(deliveries)
            delivered.set()
            raise_first(working)
        finally:
            stopped.set()


def webhook_processes() -> ProcessPoolExecutor:
    """Two processes that begin at the same moment."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(2, spawn, initializer=_wait_for_the_other, initargs=(spawn.Barrier(2),))


def _wait_for_the_other(barrier: Barrier) -> None:
    barrier.wait(AT_MOST)


def raise_first(futures: Sequence[Future[None]]) -> None:
    done, late = wait(futures, AT_MOST, FIRST_EXCEPTION)
    for future in done:
        future.result()
    assert not late, f"not over after {AT_MOST} seconds"


def test_concurrent_webhooks_accept_all_events(lasting_place: Place) -> None:
    """Webhooks that receive the same events in different orders accept and count all of them."""
    events, times = made_drift(datetime.now(UTC)), 10
    ledger = lasting_place.open()
    batches = [shuffled_batches(events, times, seed) for seed in range(2)]

    with webhook_processes() as webhooks:
        raise_first([webhooks.submit(deliver, lasting_place.url, each) for each in batches])

    assert {(entry.key, entry.deliveries) for entry in ledger.entries(1000)} == {
        (event.key, 2 * times) for event in events
    }


def test_concurrent_workers_repeat_nothing(lasting_place: Place) -> None:
    """Several workers decide, launch, register and deploy each model once."""
    events = made_drift(datetime.now(UTC))
    azure = made_azure()

    deliver_and_work(lasting_place, azure, events)

    ledger = lasting_place.open()
    decisions, retrainings = ledger.decisions(limit=1000), ledger.retrainings()
    assert Counter(key for record in decisions for key in record.covers) == Counter(event.key for event in events)
    assert all(entry.settled_at for entry in ledger.entries(1000))
    assert sorted(item.model for item in retrainings) == sorted(MODELS), "the cooldown allows one for each"
    assert {item.state for item in retrainings} == {RetrainingState.REGISTERED}
    assert [azure.effects["run", item.id] for item in retrainings] == [1] * len(MODELS)
    assert len(azure.pipeline_runs) == len(MODELS)
    assert {(item.version, item.state) for item in ledger.rollouts()} == {("2", RolloutState.LIVE)}
    assert {count for (kind, _), count in azure.effects.items() if kind != "traffic"} == {1}
