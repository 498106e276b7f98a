"""The Prefect adapter where no server is needed: what it sends, and what it makes of a server that is away."""

import json
from datetime import timedelta

import pytest
from msgspec import structs

from anew.adapters.prefect.api import MAX_PAYLOAD, PrefectFlows, prefect_event
from anew.demo.processes import free_port
from anew.errors import PrefectUnavailable
from tests.event_data import WORKSPACE, drift, registered


@pytest.fixture
def nobody() -> PrefectFlows:
    return PrefectFlows(f"http://127.0.0.1:{free_port()}/api", timeout=timedelta(seconds=1))


def test_hint_without_server_is_unavailable(nobody: PrefectFlows) -> None:
    """A hint without a Prefect server raises `PrefectUnavailable` with advice to start one."""
    with nobody, pytest.raises(PrefectUnavailable, match="no Prefect server") as caught:
        nobody.hint(drift())

    assert "prefect server start" in caught.value.advice


def test_start_without_server_is_unavailable(nobody: PrefectFlows) -> None:
    """A start without a Prefect server raises `PrefectUnavailable`."""
    with nobody, pytest.raises(PrefectUnavailable):
        nobody.start("retrain/default", "key", {})


def test_wait_for_server_times_out(nobody: PrefectFlows) -> None:
    """A wait for a Prefect server that never answers ends with `PrefectUnavailable`."""
    seen: list[timedelta] = []

    with nobody, pytest.raises(PrefectUnavailable, match="after"):
        nobody.wait_ready(timedelta(seconds=0.3), seen.append)

    assert seen


def test_event_names_type_and_flow() -> None:
    """A Prefect event has the type of the Azure event, its workspace and the flow to start."""
    told = prefect_event(drift())

    assert told["event"] == "Microsoft.MachineLearningServices.DatasetDriftDetected"
    assert told["resource"]["prefect.resource.id"] == "azureml.workspace.ws1"
    assert told["resource"]["azureml.workspace.id"] == WORKSPACE.arm_id
    assert told["resource"]["anew.flow"] == "retrain"
    assert prefect_event(registered())["resource"]["anew.flow"] == "deploy"


def test_event_id_is_stable() -> None:
    """A repeated hint has the same event id, and another event has another id."""
    assert prefect_event(drift("a"))["id"] == prefect_event(drift("a"))["id"]
    assert prefect_event(drift("a"))["id"] != prefect_event(drift("b"))["id"]


def test_huge_payload_is_shortened() -> None:
    """A payload that is too large for a flow run is shortened and says so."""
    told = prefect_event(structs.replace(drift(), tags={"spec": "x" * MAX_PAYLOAD}))

    assert len(json.dumps(told["payload"])) < MAX_PAYLOAD
    assert told["payload"]["shortened"] is True
    assert told["payload"]["run_id"] == "monitor-run"
