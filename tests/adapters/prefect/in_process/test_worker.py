"""The in-process worker and the Prefect adapter against a real Prefect server."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from anew.adapters.prefect.api import FlowRunView, PrefectFlows
from tests.event_data import drift
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.timeout(240)

FLOWS = """
import asyncio
from pathlib import Path
from prefect import flow, runtime

@flow
async def hinted(event: dict | None = None) -> str:
    return (event or {}).get("run_id", "nothing")

@flow
def synchronous() -> str:
    assert Path("prefect.yaml").is_file(), "the working directory is not the project's"
    return "done"

@flow
async def failing() -> None:
    raise ValueError("the flow's own fault")

@flow
async def exiting() -> None:
    raise SystemExit(3)

@flow
async def knowing() -> None:
    assert runtime.deployment.name == "default"
    assert runtime.flow_run.id is not None

@flow
async def slow() -> None:
    await asyncio.sleep(3)

@flow
async def endless() -> None:
    await asyncio.sleep(3600)
"""

DEPLOYMENTS = """
name: tiny
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "{{ $PWD }}"}
deployments:
  - name: default
    entrypoint: tinyflows.tiny:hinted
    work_pool: {name: tiny}
    triggers:
      - type: event
        match: {prefect.resource.id: "azureml.workspace.*", anew.flow: retrain}
        expect: [Microsoft.MachineLearningServices.DatasetDriftDetected]
        threshold: 1
        within: 0
        parameters: {event: "{{ event.payload }}"}
  - {name: default, entrypoint: "tinyflows/tiny.py:synchronous", work_pool: {name: tiny}}
  - {name: default, entrypoint: "tinyflows.tiny:failing", work_pool: {name: tiny}}
  - {name: default, entrypoint: "tinyflows.tiny:exiting", work_pool: {name: tiny}}
  - {name: default, entrypoint: "tinyflows.tiny:knowing", work_pool: {name: tiny}}
  - {name: default, entrypoint: "tinyflows.tiny:slow", work_pool: {name: tiny}}
  - {name: default, entrypoint: "tinyflows.tiny:endless", work_pool: {name: tiny}}
  - {name: default, entrypoint: "tinyflows.vanishing:vanishing", work_pool: {name: tiny}}
  - {name: short, entrypoint: "tinyflows.tiny:endless", work_pool: {name: short-lived}}
  - {name: seldom, entrypoint: "tinyflows.tiny:hinted", work_pool: {name: seldom}}
"""


@pytest.fixture(scope="module")
def project(prefect_api: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    package = folder / "tinyflows"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.py").write_text(FLOWS)
    vanishing = package / "vanishing.py"
    vanishing.write_text("from prefect import flow\n\n@flow\ndef vanishing(): ...\n")
    (folder / "prefect.yaml").write_text(DEPLOYMENTS)
    with PrefectFlows(prefect_api.api_url, attempts=10) as client:
        for pool in ("tiny", "short-lived", "seldom"):
            client.ensure_pool(pool, "anew-in-process")
    prefect_api.cli("--no-prompt", "deploy", "--all", cwd=folder)
    vanishing.unlink()
    return folder


@pytest.fixture(scope="module")
def flows(prefect_api: PrefectServer, project: Path) -> Iterator[PrefectFlows]:
    with prefect_api.worker("tiny", cwd=project), PrefectFlows(prefect_api.api_url, attempts=10) as client:
        yield client


def runs_of(flows: PrefectFlows, flow: str, deployment: str = "default") -> list[FlowRunView]:
    return flows.flow_runs([f"{flow}/{deployment}"], datetime.now(UTC) - timedelta(hours=1))


def wait_for(flows: PrefectFlows, flow: str, holds: Callable[[FlowRunView], bool]) -> FlowRunView:
    until(lambda: any(holds(run) for run in runs_of(flows, flow)))
    return next(run for run in runs_of(flows, flow) if holds(run))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_hint_starts_the_triggered_flow(flows: PrefectFlows) -> None:
    """A hint starts the triggered flow, which completes in the worker."""
    flows.hint(drift("run-42", datetime.now(UTC)))

    run = wait_for(flows, "hinted", lambda run: run.state == "Completed")

    assert run.parameters["event"]["run_id"] == "run-42"
    assert run.created is not None
    assert run.started is not None
    assert run.ended is not None


def test_start_is_idempotent(flows: PrefectFlows) -> None:
    """Two starts with one idempotency key make one flow run."""
    first = flows.start("synchronous/default", "synchronous/1/0", {})
    second = flows.start("synchronous/default", "synchronous/1/0", {})

    assert first == second
    assert [run.id for run in runs_of(flows, "synchronous")] == [first]


def test_sync_flow_runs_in_project_folder(flows: PrefectFlows) -> None:
    """A synchronous flow that is loaded from a file completes in the folder of the project."""
    run_id = flows.start("synchronous/default", "synchronous/2/0", {})

    assert wait_for(flows, "synchronous", lambda run: run.id == run_id and run.ended is not None).state == "Completed"


def test_run_has_no_extra_states(flows: PrefectFlows, prefect_api: PrefectServer) -> None:
    """A run goes from scheduled over pending to running and completed, without other states."""
    run_id = flows.start("synchronous/default", "synchronous/3/0", {})
    wait_for(flows, "synchronous", lambda run: run.id == run_id and run.ended is not None)

    states = httpx.get(f"{prefect_api.api_url}/flow_run_states/", params={"flow_run_id": run_id}).json()

    in_order = sorted(states, key=lambda state: state["timestamp"])
    assert [state["name"] for state in in_order] == ["Scheduled", "Pending", "Running", "Completed"]


def test_flow_knows_its_deployment(flows: PrefectFlows) -> None:
    """A flow run knows its deployment and its own id."""
    run_id = flows.start("knowing/default", "knowing", {})

    assert wait_for(flows, "knowing", lambda run: run.id == run_id and run.ended is not None).state == "Completed"


def test_ended_run_has_worker_labels(flows: PrefectFlows, prefect_api: PrefectServer) -> None:
    """A run that ended is labelled with its worker."""
    run_id = flows.start("synchronous/default", "synchronous/4/0", {})

    def labels() -> dict[str, str]:
        return httpx.get(f"{prefect_api.api_url}/flow_runs/{run_id}").json()["labels"]

    until(lambda: "prefect.worker.name" in labels())
    assert labels()["prefect.worker.type"] == "anew-in-process"


def test_suspended_run_completes(flows: PrefectFlows, prefect_api: PrefectServer) -> None:
    """A run that a person suspends while it is running continues to its end."""
    run_id = flows.start("slow/default", "slow", {})
    wait_for(flows, "slow", lambda run: run.id == run_id and run.state == "Running")

    suspended = {"state": {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True}}}
    httpx.post(f"{prefect_api.api_url}/flow_runs/{run_id}/set_state", json=suspended).raise_for_status()

    assert wait_for(flows, "slow", lambda run: run.id == run_id and run.state == "Completed")


def test_failing_flow_is_failed(flows: PrefectFlows) -> None:
    """A flow that raises ends as failed."""
    flows.start("failing/default", "failing", {})

    assert wait_for(flows, "failing", lambda run: run.ended is not None).state == "Failed"


def test_exiting_flow_spares_the_worker(flows: PrefectFlows) -> None:
    """A flow that exits the process is recorded as crashed, and the worker keeps running."""
    flows.start("exiting/default", "exiting", {})
    assert wait_for(flows, "exiting", lambda run: run.state == "Crashed")

    after = flows.start("hinted/default", "after-exit", {})

    assert wait_for(flows, "hinted", lambda run: run.id == after and run.state == "Completed")


def test_unloadable_flow_is_crashed(flows: PrefectFlows) -> None:
    """A flow that cannot be loaded is recorded as crashed."""
    flows.start("vanishing/default", "vanishing", {})

    assert wait_for(flows, "vanishing", lambda run: run.state == "Crashed")


def test_cancelled_run_stops(flows: PrefectFlows, prefect_api: PrefectServer) -> None:
    """A cancelled run stops and ends as cancelled."""
    run_id = flows.start("endless/default", "to-cancel", {})
    wait_for(flows, "endless", lambda run: run.id == run_id and run.state == "Running")

    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
    httpx.post(f"{prefect_api.api_url}/flow_runs/{run_id}/set_state", json=cancelling).raise_for_status()

    assert wait_for(flows, "endless", lambda run: run.id == run_id and run.state == "Cancelled")


def test_unknown_deployment_has_advice(flows: PrefectFlows) -> None:
    """A start of an unknown deployment raises an error with advice to deploy."""
    with pytest.raises(Exception, match="no deployment") as caught:
        flows.start("nothing/default", "key", {})

    assert "deploy --all" in getattr(caught.value, "advice", "")


def test_stopped_worker_crashes_its_runs(prefect_api: PrefectServer, flows: PrefectFlows, project: Path) -> None:
    """A worker that stops records its open runs as crashed."""

    def states() -> list[str | None]:
        return [run.state for run in runs_of(flows, "endless", "short")]

    with prefect_api.worker("short-lived", cwd=project):
        flows.start("endless/short", "interrupted", {})
        until(lambda: states() == ["Running"])

    assert states() == ["Crashed"]


def test_worker_runs_what_it_is_told_of(prefect_api: PrefectServer, flows: PrefectFlows, project: Path) -> None:
    """A run begins when the server says that it is scheduled, not only when the worker polls."""

    def completed(run_id: str) -> bool:
        return any(run.id == run_id and run.state == "Completed" for run in runs_of(flows, "hinted", "seldom"))

    first = flows.start("hinted/seldom", "polled", {})
    with prefect_api.worker("seldom", cwd=project, PREFECT_WORKER_QUERY_SECONDS="600"):
        until(lambda: completed(first))  # by the one poll there will be
        second = flows.start("hinted/seldom", "told", {})
        until(lambda: completed(second))
