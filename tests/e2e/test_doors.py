"""The whole loop through all three doors, on real processes: Prefect server, worker, webhook, local Azure.

The demo plays the first and the third door and leaves its stack running; the second is tried on that stack.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from anew.adapters.ledger import SqlLedger
from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.rollouts.lifecycle import SERVING_ROLLOUT
from anew.emulator.client import LocalAzure
from anew.settings import load_settings

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
Value = TypeVar("Value")

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]


class KeptDemo:
    """What `anew demo --json --keep` printed, and the stack it left running."""

    def __init__(self, outcome: dict[str, Any], story: str) -> None:
        self.outcome = outcome
        self.story = story
        self.environment = {**os.environ, "ANEW_SETTINGS": outcome["settings"], "PWD": str(ROOT)}

    def anew(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("anew", *arguments)

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("prefect", *arguments)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        folder = Path(self.outcome["settings"]).parent
        settings = _settings(self.outcome["settings"])
        environment = {
            **self.environment,
            "PREFECT_API_URL": settings.prefect.api_url,
            "PREFECT_HOME": str(folder / "prefect"),
        }
        command = [str(BIN / program), *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _settings(path: str) -> Any:
    before = os.environ.get("ANEW_SETTINGS")
    os.environ["ANEW_SETTINGS"] = path
    try:
        return load_settings()
    finally:
        os.environ.pop("ANEW_SETTINGS") if before is None else os.environ.update(ANEW_SETTINGS=before)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptDemo]:
    folder = tmp_path_factory.mktemp("demo")
    command = [str(BIN / "anew"), "demo", "--json", "--keep", "--folder", str(folder / "stack")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    outcome = json.loads(done.stdout.splitlines()[-1])
    yield KeptDemo(outcome, done.stderr)
    for pid in outcome["processes"].values():
        _end(pid)


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        time.sleep(1)


@pytest.fixture
def ledger(demo: KeptDemo) -> Iterator[SqlLedger]:
    opened = SqlLedger.open(_settings(demo.outcome["settings"]).ledger)
    yield opened
    opened.close()


@pytest.fixture
def azure(demo: KeptDemo) -> Iterator[LocalAzure]:
    with LocalAzure(_settings(demo.outcome["settings"]).azure.local_azure_url) as client:
        yield client


def _until(look: Callable[[], Value | None], seconds: float = 120) -> Value:
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return value


def test_demo_json_has_the_documented_keys(demo: KeptDemo) -> None:
    """The JSON of the demo has the documented keys."""
    documented = {
        "event_id", "decision", "launcher", "external_run_id", "model", "champion_version", "new_version",
        "accuracy_before", "accuracy_after", "gate", "endpoint", "traffic", "prefect_flow_runs", "seconds",
    }  # fmt: skip

    assert documented <= demo.outcome.keys()


def test_event_leads_to_better_model(demo: KeptDemo) -> None:
    """An event leads to a better model in production."""
    outcome = demo.outcome

    assert (outcome["decision"], outcome["launcher"], outcome["gate"]) == ("retrain", "adf", "promote")
    assert outcome["accuracy_after"] > outcome["accuracy_before"]
    assert outcome["traffic"] == {f"elec2-{outcome['new_version']}": 100}
    started = {run["deployment"] for run in outcome["prefect_flow_runs"]}
    assert {"retrain/default", "promote/default", "deploy/default"} <= started


def test_one_decision_makes_one_run(demo: KeptDemo, azure: LocalAzure, ledger: SqlLedger) -> None:
    """Each decision to retrain creates exactly one pipeline run."""
    launched = [item for item in ledger.retrainings() if item.launcher == "adf" and item.model == "elec2"]

    created = azure.journal("pipeline_run.created")

    assert demo.outcome["external_run_id"] in {item.external_run_id for item in launched}
    assert len(created) == len(launched)


def test_lost_event_is_found_by_schedule(demo: KeptDemo) -> None:
    """A lost event is found by the schedule while the webhook is off."""
    polled = demo.outcome["polling"]

    assert "webhook" not in demo.outcome["processes"]
    assert (polled["decision"], polled["launcher"], polled["gate"]) == ("retrain", "aml", "promote")
    assert polled["event_id"].startswith("reconcile/")
    assert polled["traffic"] == {f"weather-{polled['new_version']}": 100}


def test_picture_is_a_png(demo: KeptDemo) -> None:
    """The picture of the demo is a PNG file."""
    assert Path(demo.outcome["picture"]).read_bytes().startswith(b"\x89PNG")


def test_explain_shows_compared_values(demo: KeptDemo) -> None:
    """The command `explain` shows the values that the decision compared."""
    explained = demo.anew("explain", demo.outcome["event_id"], "--json")

    story = json.loads(explained.stdout)
    assert story["decision"]["id"] == demo.outcome["decision_id"]
    assert "drift_coefficient" in json.dumps(story["decision"]["tree"])
    assert story["audit"][0]["subject"] == "decision"


def test_status_shows_the_decision(demo: KeptDemo) -> None:
    """The command `status` shows the decision and its retrainings."""
    shown = json.loads(demo.anew("status", "--json").stdout)

    assert demo.outcome["decision_id"] in {decision["id"] for decision in shown["decisions"]}
    assert shown["retrainings"]


def test_prefect_run_retrains_and_serves(demo: KeptDemo, ledger: SqlLedger) -> None:
    """A retraining requested through Prefect is made once, and a registered version is served."""
    before = {item.id for item in ledger.retrainings(model="elec2")}

    parameters = ("-p", "model=elec2", "-p", "force=true", "-p", "reason=second door")
    asked = demo.prefect("deployment", "run", "retrain/default", *parameters)
    assert asked.returncode == 0, asked.stderr

    def judged() -> Any:
        news = [item for item in ledger.retrainings(model="elec2") if item.id not in before]
        return next((item for item in news if not item.is_open or item.state is RetrainingState.AWAITING_DATA), None)

    # The webhook is off here, so that every step after the launch is found by the schedule.
    retraining = _until(judged, 180)
    answers = (RetrainingState.REGISTERED, RetrainingState.REJECTED, RetrainingState.AWAITING_DATA)
    assert retraining.state in answers, retraining.reason
    if retraining.state is RetrainingState.REGISTERED:
        _until(lambda: [r for r in ledger.rollouts(SERVING_ROLLOUT) if r.retraining_id == retraining.id])
    assert len([item for item in ledger.retrainings(model="elec2") if item.id not in before]) == 1


def test_redeployed_flows_change_nothing(demo: KeptDemo) -> None:
    """Deploying the flows twice changes nothing."""
    # Last: the schedule of a few seconds, which the demo gave `reconcile`, is not in prefect.yaml and goes.
    again = demo.prefect("--no-prompt", "deploy", "--all")

    assert again.returncode == 0, again.stdout[-2000:]
    listed = demo.prefect("deployment", "ls")
    assert listed.stdout.count("/default") == 5
