"""One local Azure with its ledger, where releases follow each other through anew's engine and the Azure SDKs.

Time is an argument: an hour of traffic is one call, and only what local Azure really computes takes any.
"""

import json
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from anew.adapters.policy_folder import load_policies
from anew.core.decisions.policy_set import Policies, Sourced
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.stages import stage_name
from anew.demo.processes import Processes, free_port
from anew.emulator.client import LocalAzure
from anew.engine.base.context import Engine
from anew.engine.base.ports import Notification
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.decisions.request import request_retraining
from anew.engine.retrainings.advance import advance_retraining
from anew.engine.rollouts.deploy import deploy
from anew.engine.rollouts.following_tags import follow_tags
from anew.settings import Azure, Settings
from bench.releases.outcome import End, Outcome
from bench.releases.plan import KINDS, Release

MODEL = "price"
ENDPOINT = "price-online"
TICK = timedelta(minutes=5)  # `reconcile` of prefect.yaml
BAKE = timedelta(minutes=30)
_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
_HOLDS_AT_MOST = 10
_TICKS_AT_MOST = 600
_SAMPLE = {"input_data": {"columns": ["a"], "data": [[1]]}}
_EQUAL = next(kind for kind in KINDS if kind.name == "equal")


@dataclass(frozen=True, slots=True)
class Pace:
    """How much traffic there is, in requests a second."""

    rate: float
    seed: int


def play_world(folder: Path, releases: Sequence[Release], pace: Pace) -> list[Outcome]:
    """Every release in turn, each against whatever the one before left in production."""
    with _local_azure(folder) as url, LocalAzure(url) as azure:
        world = World(folder, url, azure, pace)
        world.serve_first()
        return [world.release(each) for each in releases]


class World:
    """The engine, local Azure, and a clock that only this bench moves."""

    def __init__(self, folder: Path, url: str, azure: LocalAzure, pace: Pace) -> None:
        from anew.wiring import build_engine

        settings = _settings(folder, url)
        engine = build_engine(settings, "bench", load_policies(settings.policies))
        self._engine = replace(engine, notifier=_Nobody())
        self._policies = self._engine.policies
        self._azure = azure
        self._workspace = settings.workspace.arm_id
        self._pace = pace
        self._requests_sent = 0
        self._now = datetime.now(UTC)

    def serve_first(self) -> None:
        """Version 1, which nothing is compared with."""
        retraining = self._retrain("first")
        self._set_behaviour(retraining, _EQUAL.behaviour)
        self._roll_out()

    def release(self, release: Release) -> Outcome:
        """One release, from the decision to its end."""
        self._now += TICK  # no two rollouts are opened at once
        began, seq = self._now, self._newest_entry()
        retraining = self._retrain(f"release-{release.number}", release)
        if retraining.state is not RetrainingState.REGISTERED:
            return _not_registered(release, retraining)
        self._set_behaviour(retraining, release.kind.behaviour)
        first = self._now
        rollout = self._roll_out()
        return self._outcome(release, retraining, rollout, began, first, seq)

    # --- training, evaluation, gate -----------------------------------------------------------------------

    def _retrain(self, request: str, release: Release | None = None) -> Retraining:
        engine = self._evaluating(release, 0)
        request_retraining(engine, MODEL, f"{request}-{self._pace.seed}", "bench", "a release", True, self._now)
        [decided] = decide_pending(engine, self._now).decided
        retraining = decided.retraining
        assert retraining is not None, decided.decision
        for _ in range(_HOLDS_AT_MOST):
            retraining = self._advance(self._evaluating(release, retraining.evaluations), retraining)
            if not retraining.is_open:
                return retraining
            self._now += engine.policies.for_model(MODEL).gate.inconclusive.every
        raise AssertionError(f"{retraining.id} is still {retraining.state}: {retraining.reason}")

    def _advance(self, engine: Engine, retraining: Retraining) -> Retraining:
        """As far as it can go without time passing; jobs end by themselves meanwhile."""
        deadline = time.monotonic() + 60
        while True:
            retraining = advance_retraining(engine, retraining, self._now)
            if not retraining.is_open or retraining.state is RetrainingState.AWAITING_DATA:
                return retraining
            assert time.monotonic() < deadline, f"{retraining.id} is {retraining.state}: {retraining.reason}"
            time.sleep(0.005)

    def _evaluating(self, release: Release | None, evaluation: int) -> Engine:
        """The engine, whose next evaluation job finds this to report."""
        report = {} if release is None else release.evaluated(evaluation).report(f"release-{release.number}")
        policy = self._policies.for_model(MODEL)
        evaluate = policy.evaluate.model_copy(update={"inputs": {"report": json.dumps(report)}})
        changed = policy.model_copy(update={"evaluate": evaluate})
        source, sha = self._policies.source_of(MODEL), self._policies.hash_of(MODEL)
        return replace(self._engine, policies=Policies((Sourced.of(changed, source, sha),)))

    # --- rollout ------------------------------------------------------------------------------------------

    def _set_behaviour(self, retraining: Retraining, behaviour: Mapping[str, float]) -> None:
        self._azure.set_behaviour(MODEL, retraining.new_version or "", **behaviour)

    def _roll_out(self) -> Rollout:
        """Let traffic flow and ticks come until nothing is open any more."""
        follow_tags(self._engine, self._policies.for_model(MODEL), self._now)
        for _ in range(_TICKS_AT_MOST):
            report = deploy(self._engine, self._now)
            assert not report.deferred, report.deferred
            rollout = self._engine.ledger.rollouts(model=MODEL)[-1]
            if not rollout.is_open:
                return rollout
            self._let_traffic_flow()
        raise AssertionError(f"a rollout is open after {_TICKS_AT_MOST} ticks")

    def _let_traffic_flow(self) -> None:
        end = self._now + TICK
        requests = round(self._pace.rate * TICK.total_seconds())
        try:
            self._azure.send_traffic(
                self._workspace, ENDPOINT, requests=requests, start=self._now, end=end, seed=self._pace.seed
            )
        except httpx.HTTPStatusError as error:  # the first version's endpoint takes no traffic yet
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
        self._now = end

    # --- what local Azure says ----------------------------------------------------------------------------

    def _newest_entry(self) -> int:
        return self._azure.journal()[-1]["seq"]

    def _outcome(
        self, release: Release, retraining: Retraining, rollout: Rollout, began: datetime, first: datetime, seq: int
    ) -> Outcome:
        answered = errors = 0
        for entry in map(dict[str, Any], self._azure.journal("traffic.simulated", after=seq)):
            answered += entry["answered"].get(rollout.deployment, 0)
            errors += entry["errors"].get(rollout.deployment, 0)
        changes = [
            change for change in self._engine.ledger.traffic(rollout.place, limit=50) if change.rollout_id == rollout.id
        ]
        served = [change for change in changes if any(s.deployment == rollout.deployment for s in change.shares)]
        filled = [change for change in served if [share.percent for share in change.shares] == [100]]
        end: End = "live" if rollout.state is RolloutState.LIVE else "rolled back"
        assert end == "live" or rollout.state in (RolloutState.ROLLED_BACK, RolloutState.FAILED)
        self._check_who_serves(rollout)
        return Outcome(
            release.number,
            release.kind,
            end,
            evaluations=retraining.evaluations,
            stage="" if end == "live" else self._highest_stage(rollout),
            seconds=(filled[0].at - began).total_seconds() if filled else None,
            answered=answered,
            errors=errors,
            watched=(self._now - first).total_seconds(),
            reached_all=bool(filled),
            note=rollout.reason or "",
        )

    def _highest_stage(self, rollout: Rollout) -> str:
        rule = self._policies.for_model(MODEL).deploy[0]
        return stage_name(rule.steps[rollout.step]) if rollout.step >= 0 else "before any"

    def _check_who_serves(self, rollout: Rollout) -> None:
        """The ledger's word is held against what the endpoint shows."""
        view = self._engine.endpoints["online"].view(ENDPOINT)
        assert view is not None
        serving = {name for name, share in view.traffic.items() if share}
        expected = rollout.deployment if rollout.state is RolloutState.LIVE else rollout.previous
        assert serving == {expected}, f"{rollout.version} is {rollout.state} ({rollout.reason}), and {serving} serve"


class _Nobody:
    """Nobody wants to be told of 200 releases."""

    def send(self, notification: Notification) -> None:
        pass


def _not_registered(release: Release, retraining: Retraining) -> Outcome:
    assert retraining.state is RetrainingState.REJECTED, f"{retraining.state}: {retraining.reason}"
    reason = retraining.reason or ""
    end: End = "inconclusive" if reason.startswith("inconclusive") else "rejected"
    return Outcome(release.number, release.kind, end, evaluations=retraining.evaluations, note=reason)


# --- local Azure ------------------------------------------------------------------------------------------


@contextmanager
def _local_azure(folder: Path) -> Generator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    _write_policies(folder / "policies")
    with Processes(folder, {}) as processes:
        command = [sys.executable, "-m", "anew.emulator", "--port", f"{port}", "--folder", f"{folder}/azure"]
        processes.start("local azure", command)
        processes.wait_until("local azure", lambda: _answers(url), "local Azure answers")
        yield url


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/emulator/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _settings(folder: Path, url: str) -> Settings:
    azure = Azure(
        subscription_id=_SUBSCRIPTION,
        resource_group="rg",
        workspace="ws",
        data_factory="adf",
        log_analytics_workspace_id=_SUBSCRIPTION,
        local_azure_url=url,
    )
    return Settings(ledger=f"sqlite:///{folder}/ledger.db", policies=folder / "policies", azure=azure)


def _write_policies(folder: Path) -> None:
    """Anew's defaults for gate, hold, steps and analysis, with scores watched too and a shorter bake."""
    (folder / "jobs").mkdir(parents=True)
    tags = {"stage": "production"}
    document = {
        "apiVersion": "anew/v1",
        "model": MODEL,
        "monitors": ["price-drift"],
        "when": {"kind": "monitor_breach"},
        "retrain": {"launcher": {"kind": "aml", "job": "jobs/train.yml"}},
        "evaluate": {"job": "jobs/evaluate.yml"},
        "gate": {"kind": "non_inferiority"},
        "register": {"tags": tags},
        "deploy": [
            {
                "match": tags,
                "endpoint": ENDPOINT,
                "analysis": {"max_score_shift": 0.1},
                "bake": f"{BAKE.total_seconds():.0f}s",
                "sample_request": _SAMPLE,
            }
        ],
    }
    model = {"type": "mlflow_model", "path": f"azureml:{MODEL}:1"}
    train = _job("--out ${{outputs.model}}", outputs={"model": {"type": "mlflow_model"}})
    inputs = {"report": "{}", "challenger": model, "champion": model}
    (folder / "price.yaml").write_text(json.dumps(document))  # JSON is YAML
    (folder / "jobs" / "train.yml").write_text(json.dumps(train))
    evaluate = _job("--evaluation ${{inputs.report}}", inputs=inputs)
    (folder / "jobs" / "evaluate.yml").write_text(json.dumps(evaluate))


def _job(arguments: str, **changes: Any) -> dict[str, Any]:
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
        "type": "command",
        "command": f"python -m anew.emulator.workloads.pause --seconds 0 {arguments}",
        "environment": "azureml:anew-samples:1",
        "compute": "azureml:cpu",
        "experiment_name": "retraining",
    } | changes
