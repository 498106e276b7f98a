"""Small factories of what histories are told with: a clock, policies, events, evaluations, an engine over memory."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from anew.adapters.ledger import SqlLedger
from anew.adapters.ledger.database import create_engine, upgrade
from anew.adapters.memory.azure import (
    Ending,
    MemoryAzure,
    MemoryDeployment,
    MemoryEndpoint,
    MemoryJobs,
    memory_launchers,
)
from anew.adapters.memory.endpoints import MemoryRegistry, memory_endpoints
from anew.adapters.memory.evidence import MemoryMissedEvents, MemoryNotifier, MemorySource
from anew.core.decisions.policy_set import Policies, Sourced
from anew.core.events.event import Cause, Drift, Event, EventType, Workspace
from anew.core.evidence.signals import Signal
from anew.core.policies.policy import Policy
from anew.core.retrainings.lifecycle import Retraining
from anew.core.retrainings.lineage_tags import EVALUATION_TAG, RETRAINING_TAG
from anew.core.rollouts.lifecycle import Rollout
from anew.core.rollouts.naming import deployment_name
from anew.core.rollouts.traffic import RequestStats
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Ledger, Source
from anew.engine.base.ports import DeploymentState, ModelVersion
from anew.engine.reconcile import ReconcilePass, reconcile

START = datetime(2026, 7, 14, 12, tzinfo=UTC)
WORKSPACE = Workspace("00000000-0000-0000-0000-000000000001", "rg-anew", "ws-anew")
MODEL = "price"
MONITOR = "price-drift"
ENDPOINT = "price-online"
PIPELINE = "retrain-price"
EVALUATE_JOB = "evaluate.yml"
PRODUCTION = {"stage": "production"}
SAMPLE = {"input_data": {"columns": ["a"], "data": [[1]]}}
DRIFT_RULE = {"kind": "threshold", "metric": "drift_coefficient", "above": 0.3}
ACCURACY_RULE = {"kind": "threshold", "metric": "accuracy", "below": 0.76}
ACCURACY_QUERY = {"kind": "log_analytics", "query": "AppMetrics | where Name == 'accuracy'"}


# --- policies ---------------------------------------------------------------------------------------------


def deploy_rule(endpoint: str = ENDPOINT, **changes: Any) -> dict[str, Any]:
    """A rule for production with two stages, no waiting and no analysis."""
    rule = {"match": PRODUCTION, "endpoint": endpoint, "sample_request": SAMPLE, "analysis": None, "bake": "0s"}
    return rule | {"steps": [stage(10), stage(100)]} | changes


def stage(traffic: int | None = None, **changes: Any) -> dict[str, Any]:
    """A stage that asks for no time and no requests."""
    share = {} if traffic is None else {"traffic": traffic}
    return share | {"wait": "0s", "min_requests": 0} | changes


def policy(model: str = MODEL, **changes: Any) -> Policy:
    """A policy that retrains by a pipeline when drift exceeds 0.3, and deploys to one endpoint."""
    document = {
        "apiVersion": "anew/v1",
        "model": model,
        "monitors": [MONITOR],
        "when": DRIFT_RULE,
        "limits": {"cooldown": "24h"},
        "retrain": {"launcher": {"kind": "adf", "pipeline": PIPELINE}},
        "evaluate": {"job": EVALUATE_JOB},
        "register": {"tags": PRODUCTION},
        "deploy": [deploy_rule()],
    }
    return Policy.model_validate(document | changes)


def policies(*documents: Policy) -> Policies:
    """These policies, as if each was read from a file."""
    return Policies(tuple(Sourced.of(each, f"{each.model}.yaml", "0" * 64) for each in documents))


# --- events and evidence ----------------------------------------------------------------------------------


def drift_event(run: str = "drift-1", *, at: datetime = START, value: float = 0.6, monitor: str = MONITOR) -> Event:
    """What a v1 monitor says about one run of its."""
    return Event(
        type=EventType.DATASET_DRIFT_DETECTED,
        id=f"event-{run}",
        workspace=WORKSPACE,
        subject=f"datadrift/{monitor}/run/{run}",
        time=at,
        run_id=run,
        drift=Drift(monitor=monitor, coefficient=value),
        cause=Cause.DRIFT,
    )


def run_event(run: str, *, at: datetime = START, retraining: str | None = None, failed: bool = False) -> Event:
    """A run ended."""
    return Event(
        type=EventType.RUN_STATUS_CHANGED if failed else EventType.RUN_COMPLETED,
        id=f"event-{run}",
        workspace=WORKSPACE,
        subject=f"experiments/retraining/runs/{run}",
        time=at,
        run_id=run,
        status="Failed" if failed else "Completed",
        tags={RETRAINING_TAG: retraining} if retraining else {},
        cause=Cause.RUN_FAILED if failed else Cause.RUN_COMPLETED,
    )


def registered_event(version: str, *, model: str = MODEL, at: datetime = START) -> Event:
    """A model version was registered."""
    return Event(
        type=EventType.MODEL_REGISTERED,
        id=f"event-{model}-{version}",
        workspace=WORKSPACE,
        subject=f"models/{model}:{version}",
        time=at,
        model=model,
        version=version,
        cause=Cause.MODEL_REGISTERED,
    )


def accuracy(value: float, *, at: datetime = START) -> Signal:
    """A measured accuracy."""
    return Signal("accuracy", value, "log_analytics", at)


def evaluation(*, better: int = 60, worse: int = 20, rows: int = 1000, data_hash: str = "f00d") -> Ending:
    """An evaluation job that ends with its report; `better` rows only the challenger got right."""
    both = rows // 2
    report = {
        "task": "classification",
        "rows": rows,
        "data_hash": data_hash,
        "challenger_correct": both + better,
        "champion_correct": both + worse,
        "only_champion": worse,
        "only_challenger": better,
    }
    return Ending(tags={EVALUATION_TAG: json.dumps(report)})


# --- traffic ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ScriptedTraffic:
    """A TrafficLog whose deployments always answer the same, whatever the window; `asked` keeps the windows."""

    answers: dict[str, RequestStats] = field(default_factory=dict[str, RequestStats])
    asked: list[tuple[frozenset[str], datetime, datetime]] = field(default_factory=list[Any])
    error: Exception | None = None

    def read(
        self, endpoint: str, deployments: Collection[str], since: datetime, until: datetime, *, scores: bool
    ) -> Mapping[str, RequestStats]:
        self.asked.append((frozenset(deployments), since, until))
        if self.error is not None:
            raise self.error
        return {name: self.answers.get(name, RequestStats()) for name in deployments}


# --- an engine over memory --------------------------------------------------------------------------------


def make_engine(azure: MemoryAzure, ledger: Ledger, *documents: Policy) -> Engine:
    """An engine over this world; without documents, with the one policy."""
    return Engine(
        ledger=ledger,
        policies=policies(*(documents or (policy(),))),
        workspace=WORKSPACE,
        launchers=memory_launchers(azure),
        jobs=MemoryJobs(azure),
        registry=MemoryRegistry(azure),
        endpoints=memory_endpoints(azure),
        traffic_log=ScriptedTraffic(),
        readers={"log_analytics": MemorySource(azure)},
        missed=MemoryMissedEvents(azure),
        notifier=MemoryNotifier(),
        clock=lambda: azure.clock(),  # noqa: PLW0108 - a test may set another clock later
        actor="test",
    )


def serve(azure: MemoryAzure, version: str, *, model: str = MODEL, endpoint: str = ENDPOINT) -> str:
    """Let this version, registered for production, take all traffic; returns its deployment."""
    azure.models[model, version] = ModelVersion(model, version, PRODUCTION, f"azureml://jobs/by-hand-{version}")
    name = deployment_name(model, version)
    found = azure.endpoints.setdefault(endpoint, MemoryEndpoint())
    found.deployments[name] = MemoryDeployment(f"{model}:{version}", DeploymentState.READY)
    found.traffic = {name: 100}
    return name


@cache
def _migrated() -> sa.Engine:
    engine = create_engine("sqlite://")
    upgrade(engine)
    return engine


def fresh_ledger(engine: sa.Engine | None = None) -> SqlLedger:
    """An empty ledger in memory: a copy of one that was migrated once, as migrating takes longer than most histories.

    What the engine held is gone; one used again and again has its statements compiled already.
    """
    engine = engine or create_engine("sqlite://")
    with _migrated().connect() as source, engine.connect() as target:
        empty: Any = source.connection.driver_connection
        empty.backup(target.connection.driver_connection)
    return SqlLedger(engine)


@dataclass(slots=True)
class Play:
    """One history: Azure, a ledger, an engine over both, and a clock that only the history moves."""

    azure: MemoryAzure = field(default_factory=MemoryAzure)
    ledger: SqlLedger = field(default_factory=fresh_ledger)
    now: datetime = START
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.azure.endings[EVALUATE_JOB] = evaluation()
        self.azure.clock = lambda: self.now
        self.engine = make_engine(self.azure, self.ledger)

    def with_policies(self, *documents: Policy) -> "Play":
        """From here on these are the policies."""
        self.engine = replace(self.engine, policies=policies(*documents))
        return self

    def receive(self, *events: Event) -> None:
        """The webhook took these in."""
        self.ledger.receive(events, Source.WEBHOOK, self.now)

    def wait(self, **duration: float) -> None:
        """Time passes, and Azure gets on with its work."""
        self.now += timedelta(**duration)
        self.azure.settle()

    def tick(self, **duration: float) -> ReconcilePass:
        """Time passes (a minute, if nothing else is said), then reconciliation runs."""
        self.wait(**(duration or {"minutes": 1}))
        return reconcile(self.engine, self.now)

    def tick_until(self, over: Callable[[], bool], *, at_most: int = 40) -> None:
        """Tick until it is over."""
        for _ in range(at_most):
            if over():
                return
            self.tick()
        raise AssertionError(f"not over after {at_most} ticks")

    @property
    def retraining(self) -> Retraining:
        """The only retraining there is."""
        [found] = self.ledger.retrainings()
        return found

    @property
    def rollout(self) -> Rollout:
        """The only rollout there is."""
        [found] = self.ledger.rollouts()
        return found
