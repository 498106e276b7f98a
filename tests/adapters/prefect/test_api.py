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


def test_hint_to_a_dead_server_is_prefect_unavailable(nobody: PrefectFlows) -> None:
    with nobody, pytest.raises(PrefectUnavailable, match="no Prefect server") as caught:
        nobody.hint(drift())

    assert "prefect server start" in caught.value.advice


def test_start_on_a_dead_server_is_prefect_unavailable(nobody: PrefectFlows) -> None:
    with nobody, pytest.raises(PrefectUnavailable):
        nobody.start("retrain/default", "key", {})


def test_waiting_for_a_dead_server_ends_with_prefect_unavailable(nobody: PrefectFlows) -> None:
    seen: list[timedelta] = []

    with nobody, pytest.raises(PrefectUnavailable, match="after"):
        nobody.wait_ready(timedelta(seconds=0.3), seen.append)

    assert seen


def test_prefect_event_carries_the_azure_type_and_the_flow_it_is_for() -> None:
    told = prefect_event(drift())

    assert told["event"] == "Microsoft.MachineLearningServices.DatasetDriftDetected"
    assert told["resource"]["prefect.resource.id"] == "azureml.workspace.ws1"
    assert told["resource"]["azureml.workspace.id"] == WORKSPACE.arm_id
    assert told["resource"]["anew.flow"] == "retrain"
    assert prefect_event(registered())["resource"]["anew.flow"] == "deploy"


def test_repeated_hint_has_the_same_id_and_another_happening_has_not() -> None:
    assert prefect_event(drift("a"))["id"] == prefect_event(drift("a"))["id"]
    assert prefect_event(drift("a"))["id"] != prefect_event(drift("b"))["id"]


def test_huge_payload_is_shortened_below_what_a_flow_run_takes() -> None:
    told = prefect_event(structs.replace(drift(), tags={"spec": "x" * MAX_PAYLOAD}))

    assert len(json.dumps(told["payload"])) < MAX_PAYLOAD
    assert told["payload"]["shortened"] is True
    assert told["payload"]["run_id"] == "monitor-run"
