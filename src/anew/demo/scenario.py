"""The rounds of the demo: an event retrains one model, and the schedule retrains another without any event."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from anew.adapters.prefect.api import PrefectFlows
from anew.core.decisions.explain import from_json, tree_lines
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, Retraining, RetrainingState
from anew.core.rollouts.lifecycle import SERVING_ROLLOUT, Rollout, RolloutState
from anew.demo.azure_setup import AzureSetup, FirstModel
from anew.demo.narrator import Narrator
from anew.demo.stack import Stack
from anew.emulator.client import Batch, LocalAzure, Monitor
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DecisionRecord, InboxEntry
from anew.engine.serving.versions import served_version
from anew.errors import DemoFailed

Value = TypeVar("Value")
_FIRST_JOB = Path("azure/first-model.job.yml")
_POLL = 0.05
_LONGEST_DECAY = 30  # batches
_AFTERMATH = 2  # batches


@dataclass(frozen=True)
class DemoStream:
    """A model, the data it scores, and the monitor that watches it."""

    model: str
    source: str
    batch_rows: int
    history_batches: int
    endpoint: str
    first: FirstModel
    monitor: Monitor
    silent_batches: int = 1  # batches before the first check, when no event comes


@dataclass(frozen=True)
class Week:
    """One batch in production, with the decision about it, if any."""

    number: int
    accuracy: float
    drift: float
    decision: str
    version: str


@dataclass(frozen=True)
class Result:
    """The result of one round."""

    event_id: str
    decision: DecisionRecord
    retraining: Retraining
    rollout: Rollout
    champion_version: str
    answered_by: str | None
    traffic: dict[str, int]
    weeks: tuple[Week, ...]


class Scenario:
    """Runs the rounds on a running stack."""

    def __init__(self, stack: Stack, engine: Engine, setup: AzureSetup, narrator: Narrator) -> None:
        self._stack = stack
        self._engine = engine
        self._setup = setup
        self._narrator = narrator
        self._azure = LocalAzure(stack.addresses.local_azure)

    def prepare(self, stream: DemoStream) -> None:
        """Create the past: earlier rows, and a first version trained on them and registered with its tags."""
        self._azure.create_stream(
            stream.model,
            source=stream.source,
            label="target",
            batch_rows=stream.batch_rows,
            history_batches=stream.history_batches,
            workspace_id=self._engine.workspace.arm_id,
        )
        with self._narrator.waiting(f"training the first version of {stream.model}"):
            self._setup.train_first(stream.first, _FIRST_JOB)
        rows = stream.batch_rows * stream.history_batches
        self._narrator.step(f"{stream.model}:1 trained on the first {rows:,} rows, registered with {stream.first.tags}")

    def await_first(self, stream: DemoStream) -> None:
        """Wait until anew has deployed the first version by its tags."""
        with self._narrator.waiting(f"deploying {stream.model}:1 by its tags"):
            self._until(lambda: self._serves(stream) == "1", f"{stream.model}:1 serves on {stream.endpoint}", 150)
        self._narrator.step(f"{stream.model}:1 deployed by its tags to {stream.endpoint}")

    def event_driven(self, stream: DemoStream) -> Result:
        """Let time pass until an event starts a retraining, and follow the new version to production."""
        weeks: list[Week] = []
        while not weeks or weeks[-1].decision != "retrain":
            weeks.append(self._live_through(stream))
            if len(weeks) > _LONGEST_DECAY:
                raise DemoFailed(f"{stream.model} did not decay in {_LONGEST_DECAY} batches")
        decision = self._engine.ledger.decisions(model=stream.model, limit=1)[0]
        result = self._follow(stream, decision, weeks)
        after = [self._live_through(stream) for _ in range(_AFTERMATH)]
        return replace(result, weeks=(*weeks, *after))

    def polled(self, stream: DemoStream) -> Result:
        """The same with the webhook off and without any event: the scheduled reconcile has to find the drift."""
        weeks: list[Week] = []
        decision: DecisionRecord | None = None
        while decision is None or decision.outcome != "retrain":
            if len(weeks) > _LONGEST_DECAY:
                raise DemoFailed(f"{stream.model} did not decay in {_LONGEST_DECAY} batches")
            before = len(self._engine.ledger.decisions(model=stream.model))
            batches = self._advance(stream, 1 if weeks else stream.silent_batches)
            with self._narrator.waiting("the reconcile deployment polls on its schedule"):
                decision = self._until(lambda seen=before: self._new_decision(stream, seen), "reconcile decides", 90)
            weeks.extend(self._week(batch, "") for batch in batches[:-1])
            weeks.append(self._week(batches[-1], decision.outcome))
        return self._follow(stream, decision, weeks)

    # --- time passing -------------------------------------------------------------------------------------

    def _live_through(self, stream: DemoStream) -> Week:
        batch = self._advance(stream, 1)[0]
        event_id = batch["event_id"]
        if event_id is None:
            return self._week(batch, "")
        entry = self._until(lambda: self._settled(event_id), f"event {event_id} is decided", 150)
        decision = self._engine.ledger.decision(entry.subject_id or "")
        return self._week(batch, decision.outcome if decision else entry.outcome or "")

    def _advance(self, stream: DemoStream, batches: int) -> list[Batch]:
        return self._azure.advance_stream(
            stream.model,
            batches=batches,
            workspace_id=self._engine.workspace.arm_id,
            model=stream.model,
            endpoint=stream.endpoint,
            monitor=stream.monitor,
        )

    def _week(self, batch: Batch, decision: str) -> Week:
        self._narrator.batch(batch["batch"], batch["accuracy"], batch["drift_coefficient"], decision)
        version = batch["deployment"].rpartition("-")[2]
        return Week(batch["batch"], batch["accuracy"], batch["drift_coefficient"], decision, version)

    def _settled(self, event_id: str) -> InboxEntry | None:
        entry = self._engine.ledger.entry(event_id)
        return entry if entry and entry.settled_at else None

    def _new_decision(self, stream: DemoStream, seen: int) -> DecisionRecord | None:
        decisions = self._engine.ledger.decisions(model=stream.model)
        return decisions[0] if len(decisions) > seen else None

    # --- from decision to production ----------------------------------------------------------------------

    def _follow(self, stream: DemoStream, decision: DecisionRecord, weeks: list[Week]) -> Result:
        self._narrator.step(f"decision {decision.id}: {decision.outcome} {stream.model}")
        self._narrator.tree(tree_lines(from_json(decision.tree)))
        retraining = self._trained(decision)
        rollout = self._until(lambda: self._rolled_out(stream, retraining), "the new version takes all traffic", 120)
        answered_by, version = self._ask(stream)
        self._narrator.step(f"asked {stream.endpoint} for a prediction: {version} answered (deployment {answered_by})")
        entry = self._engine.ledger.entry(decision.covers[0])
        view = self._engine.endpoints["online"].view(stream.endpoint)
        return Result(
            event_id=entry.event.id if entry else "",
            decision=decision,
            retraining=retraining,
            rollout=rollout,
            champion_version=retraining.champion_version or "",
            answered_by=version,
            traffic={name: share for name, share in (view.traffic if view else {}).items() if share},
            weeks=tuple(weeks),
        )

    def _trained(self, decision: DecisionRecord) -> Retraining:
        seen: set[str] = set()

        def ended() -> Retraining | None:
            item = self._engine.ledger.retraining(decision.retraining_id or "")
            if item and item.state not in seen:
                seen.add(item.state)
                self._show_state(item)
            return item if item and item.state not in OPEN_RETRAINING else None

        with self._narrator.waiting("training, evaluating, registering"):
            retraining = self._until(ended, "the retraining ends", 180)
        if retraining.state is not RetrainingState.REGISTERED:
            raise DemoFailed(f"retraining {retraining.id} was {retraining.state}: {retraining.reason}")
        return retraining

    def _show_state(self, item: Retraining) -> None:
        match item.state:
            case RetrainingState.TRAINING:
                self._narrator.step(f"{item.launcher} run {item.external_run_id} trains {item.job_name}")
            case RetrainingState.EVALUATING:
                self._narrator.step(
                    f"trained; challenger and champion {item.champion_version} are scored on the same rows"
                )
            case RetrainingState.REGISTERED if item.gate:
                self._narrator.step(f"gate: {item.gate.outcome}. {item.gate.sentence}")
                self._narrator.step(f"registered {item.model}:{item.new_version} with tags and lineage")
            case _:
                return

    def _rolled_out(self, stream: DemoStream, retraining: Retraining) -> Rollout | None:
        own = [item for item in self._engine.ledger.rollouts(model=stream.model) if item.retraining_id == retraining.id]
        for item in own:
            if item.state in (RolloutState.FAILED, RolloutState.ROLLED_BACK):
                raise DemoFailed(f"rollout {item.id} is {item.state}: {item.reason}")
            if item.state in SERVING_ROLLOUT:
                return item
        return None

    def _ask(self, stream: DemoStream) -> tuple[str | None, str | None]:
        rule = self._engine.policies.for_model(stream.model).deploy[0]
        deployment, _ = self._engine.endpoints["online"].score(stream.endpoint, rule.sample_request or {})
        view = self._engine.endpoints["online"].view(stream.endpoint)
        return deployment, view.models.get(deployment or "") if view else None

    def _serves(self, stream: DemoStream) -> str | None:
        live = self._engine.ledger.rollouts(SERVING_ROLLOUT, model=stream.model)
        return served_version(self._engine.endpoints["online"].view(stream.endpoint), stream.model) if live else None

    def _until(self, read: Callable[[], Value | None], what: str, seconds: float) -> Value:
        deadline = time.monotonic() + seconds
        while not (value := read()):
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what}: not within {seconds:.0f} s; the logs are in {self._stack.folder}/logs")
            time.sleep(_POLL)
        return value


def flow_runs(flows: PrefectFlows, since: datetime) -> list[dict[str, str]]:
    """All flow runs since then, oldest first."""
    names = [f"{flow}/default" for flow in ("retrain", "promote", "deploy", "reconcile")]
    runs = reversed(flows.flow_runs(names, since))
    now = datetime.now(UTC)
    return [
        {"id": run.id, "name": run.name, "deployment": run.deployment, "state": run.state or ""}
        for run in runs
        if run.created and run.created <= now and run.state not in (None, "Scheduled")
    ]


def shipped() -> tuple[DemoStream, DemoStream]:
    """The two streams of the demo: Elec2, trained by Data Factory, and NOAA weather, trained by Azure ML."""
    elec2 = DemoStream(
        model="elec2",
        source="elec2",
        batch_rows=336,
        history_batches=8,
        endpoint="elec2-online",
        first=FirstModel("elec2", _data("elec2"), 2688, {"stage": "production", "task": "price-direction"}),
        monitor={"kind": "dataset", "name": "elec2-drift", "threshold": 0.7, "baseline_rows": 672, "silent": False},
    )
    weather = DemoStream(
        model="weather",
        source="noaa_weather",
        batch_rows=365,
        history_batches=3,
        endpoint="weather-online",
        first=FirstModel("weather", _data("weather"), 1095, {"stage": "production", "task": "rain"}),
        monitor={
            "kind": "model",
            "name": "weather-data-drift",
            "threshold": 0.1,
            "baseline_rows": 730,
            "silent": True,
        },
        silent_batches=9,
    )
    return elec2, weather


def _data(model: str) -> str:
    return f"azureml://datastores/workspaceblobstore/paths/streams/{model}.parquet"
