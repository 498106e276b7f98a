"""The obligations of Endpoints, numbered as in engine/base/ports.py: both kinds, in memory and through the real SDK."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from anew.adapters.azure.machine_learning.batch_endpoints import BatchEndpoints
from anew.adapters.azure.machine_learning.online_endpoints import OnlineEndpoints
from anew.adapters.memory.endpoints import MemoryBatchEndpoints, MemoryEndpoints
from anew.core.policies.deploy import Deploy
from anew.core.rollouts.traffic import nonzero
from anew.engine.base.ports import DeploymentState, Endpoints, EndpointView, ModelVersion
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable, TrafficMoved
from tests.contract.azure_worlds import SCORE_REQUEST, AzureWorld, memory_world, real_world, soon

CONTRACT = {Endpoints: (MemoryEndpoints, MemoryBatchEndpoints, OnlineEndpoints, BatchEndpoints)}

RULES: Mapping[str, Mapping[str, Any]] = {"online": {}, "batch": {"kind": "batch", "compute": "cpu"}}
TO_BLUE, TO_GREEN = {"blue": 100}, {"blue": 0, "green": 100}


@dataclass(frozen=True)
class Place:
    """One kind of endpoints in one world."""

    world: AzureWorld
    kind: str
    until: datetime | None = None

    @property
    def endpoints(self) -> Endpoints:
        found = self.world.endpoints[self.kind]
        return found if self.until is None else found.until(self.until)

    @property
    def rule(self) -> Deploy:
        return Deploy.model_validate({"match": {"stage": "production"}, "endpoint": "unused", **RULES[self.kind]})

    def view(self, endpoint: str) -> EndpointView:
        found = self.endpoints.view(endpoint)
        assert found is not None
        return found

    def live(self, endpoint: str) -> Mapping[str, int]:
        return nonzero(self.view(endpoint).traffic)

    def version(self, endpoint: str, number: str) -> ModelVersion:
        """A registered version whose model can be loaded."""
        job = f"{endpoint}-{self.kind}-{number}"
        self.world.make_model(job)
        made = ModelVersion(f"{endpoint}-{self.kind}", number, {}, f"azureml://jobs/{job}/outputs/model")
        self.world.registry.register(made, "mlflow_model", "why")
        return made

    def deploy_two(self, endpoint: str) -> str:
        """An endpoint with two ready deployments, blue and green, of versions 1 and 2."""
        self.endpoints.ensure(endpoint)
        for number, color in (("1", "blue"), ("2", "green")):
            self.endpoints.create_deployment(endpoint, color, self.version(endpoint, number), self.rule)
            self.world.until(lambda color=color: self.state(endpoint, color) is DeploymentState.READY)
        return endpoint

    def state(self, endpoint: str, deployment: str) -> DeploymentState:
        return self.endpoints.deployment_state(endpoint, deployment)


@pytest.fixture(scope="module", params=["memory", "local-azure"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[AzureWorld]:
    made = memory_world() if request.param == "memory" else real_world(tmp_path_factory.mktemp("azure"))
    with made as ready:
        yield ready


@pytest.fixture(scope="module")
def online(world: AzureWorld) -> Place:
    return Place(world, "online")


@pytest.fixture(scope="module", params=["online", "batch"])
def place(request: pytest.FixtureRequest, world: AzureWorld) -> Place:
    return Place(world, request.param)


@pytest.fixture(scope="module")
def deployed(place: Place) -> str:
    """The endpoint of the tests that leave its deployments as they are."""
    return place.deploy_two("shared")


@pytest.fixture(scope="module")
def deployed_online(online: Place) -> str:
    return online.deploy_two("shared-online")


@pytest.fixture(scope="module")
def deployed_batch(world: AzureWorld) -> str:
    return Place(world, "batch").deploy_two("shared-batch")


@pytest.fixture
def name() -> str:
    """A name that no other test of the same world uses."""
    return f"t{uuid4().hex[:8]}"


# --- 1, 2: endpoints and deployments ----------------------------------------------------------------------


def test_endpoint_is_made_once(place: Place, name: str) -> None:
    assert place.endpoints.view(name) is None

    place.endpoints.ensure(name)
    place.endpoints.ensure(name)

    assert place.view(name) == EndpointView(name, {}, {})


def test_endpoint_made_again_keeps_its_traffic(place: Place, deployed: str) -> None:
    place.endpoints.set_traffic(deployed, TO_GREEN)

    place.endpoints.ensure(deployed)

    assert place.live(deployed) == {"green": 100}


def test_deployments_show_the_model_they_serve(place: Place, deployed: str) -> None:
    model = f"{deployed}-{place.kind}"

    assert place.view(deployed).models == {"blue": f"{model}:1", "green": f"{model}:2"}


def test_deployment_nobody_made_is_absent(place: Place, deployed: str, name: str) -> None:
    assert place.state(deployed, "red") is DeploymentState.ABSENT
    assert place.state(name, "blue") is DeploymentState.ABSENT


def test_deployment_made_again_is_as_it_was(place: Place, deployed: str) -> None:
    place.endpoints.set_traffic(deployed, TO_BLUE)

    place.endpoints.create_deployment(deployed, "blue", place.version(deployed, "1"), place.rule)
    place.world.until(lambda: place.state(deployed, "blue") is DeploymentState.READY)

    assert place.live(deployed) == TO_BLUE


# --- 3: traffic -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [TO_GREEN, {"green": 100}, TO_BLUE, {"green": 100, "red": 0}, {}])
def test_traffic_is_as_written(place: Place, deployed: str, split: dict[str, int]) -> None:
    place.endpoints.set_traffic(deployed, TO_BLUE)

    place.endpoints.set_traffic(deployed, split)

    assert place.live(deployed) == nonzero(split)


def test_traffic_shared_and_mirrored_is_as_written_at_once(online: Place, deployed_online: str) -> None:
    online.endpoints.set_traffic(deployed_online, {"blue": 90, "green": 10})
    assert online.live(deployed_online) == {"blue": 90, "green": 10}

    online.endpoints.set_traffic(deployed_online, TO_BLUE, mirror={"green": 20})
    view = online.view(deployed_online)
    assert (nonzero(view.traffic), view.mirror) == (TO_BLUE, {"green": 20})

    online.endpoints.set_traffic(deployed_online, {"blue": 95, "green": 5})
    view = online.view(deployed_online)
    assert (nonzero(view.traffic), view.mirror) == ({"blue": 95, "green": 5}, {})


@pytest.mark.parametrize("split", [{"blue": 50}, {"red": 100}])
def test_impossible_traffic_is_refused_and_changes_nothing(place: Place, deployed: str, split: dict[str, int]) -> None:
    place.endpoints.set_traffic(deployed, TO_BLUE)

    with pytest.raises(AzureRefused):
        place.endpoints.set_traffic(deployed, split)

    assert place.live(deployed) == TO_BLUE


@pytest.mark.parametrize("mirror", [{"green": 60}, {"blue": 20}, {"red": 20}])
def test_impossible_mirror_is_refused_and_changes_nothing(
    online: Place, deployed_online: str, mirror: dict[str, int]
) -> None:
    online.endpoints.set_traffic(deployed_online, TO_BLUE)

    with pytest.raises(AzureRefused):
        online.endpoints.set_traffic(deployed_online, TO_BLUE, mirror=mirror)

    assert online.view(deployed_online).mirror == {}


def test_traffic_is_written_when_it_is_as_expected_whatever_takes_none(place: Place, deployed: str) -> None:
    place.endpoints.set_traffic(deployed, TO_BLUE)

    place.endpoints.set_traffic(deployed, TO_GREEN, expected={"blue": 100, "green": 0, "red": 0})

    assert place.live(deployed) == {"green": 100}


@pytest.mark.parametrize("expected", [TO_GREEN, {}, {"blue": 99, "green": 1}])
def test_traffic_that_somebody_moved_is_left_to_them(place: Place, deployed: str, expected: dict[str, int]) -> None:
    place.endpoints.set_traffic(deployed, TO_BLUE)

    with pytest.raises(TrafficMoved):
        place.endpoints.set_traffic(deployed, TO_GREEN, expected=expected)

    assert place.live(deployed) == TO_BLUE


def test_first_traffic_is_written_when_none_is_expected(place: Place, name: str) -> None:
    endpoint = place.deploy_two(name)

    place.endpoints.set_traffic(endpoint, TO_BLUE, expected={})

    assert place.live(endpoint) == TO_BLUE


# --- 4: scoring -------------------------------------------------------------------------------------------


def test_request_goes_to_the_deployment_asked_for_and_else_where_the_traffic_goes(
    online: Place, deployed_online: str
) -> None:
    online.endpoints.set_traffic(deployed_online, TO_BLUE)

    asked, _ = online.endpoints.score(deployed_online, SCORE_REQUEST, "green")
    routed, predictions = online.endpoints.score(deployed_online, SCORE_REQUEST)

    assert (asked, routed) == ("green", "blue")
    assert predictions


# --- 5: while Azure changes the endpoint ------------------------------------------------------------------

WRITES: Mapping[str, Callable[[Place, str], None]] = {
    "create": lambda at, endpoint: at.endpoints.create_deployment(endpoint, "red", at.version(endpoint, "1"), at.rule),
    "shift": lambda at, endpoint: at.endpoints.set_traffic(endpoint, TO_GREEN),
    "delete": lambda at, endpoint: at.endpoints.delete_deployment(endpoint, "green"),
}


@pytest.mark.parametrize("write", WRITES)
def test_write_waits_until_azure_has_changed_the_endpoint(place: Place, name: str, write: str) -> None:
    endpoint = place.deploy_two(name)
    place.endpoints.set_traffic(endpoint, TO_BLUE)
    place.world.keep_changing(place.kind, endpoint)

    with pytest.raises(AzureUnavailable):
        WRITES[write](place, endpoint)
    assert (place.live(endpoint), set(place.view(endpoint).models)) == (TO_BLUE, {"blue", "green"})

    def written() -> bool:
        try:
            WRITES[write](place, endpoint)
        except AzureUnavailable:
            return False
        return True

    assert place.world.until(written)
    assert (place.live(endpoint), set(place.view(endpoint).models)) != (TO_BLUE, {"blue", "green"})


# --- 8: late writes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITES)
def test_late_write_changes_nothing(place: Place, name: str, write: str) -> None:
    endpoint = place.deploy_two(name)
    place.endpoints.set_traffic(endpoint, TO_BLUE)

    with pytest.raises(AzureUnavailable, match="late"):
        WRITES[write](replace(place, until=datetime.now(UTC)), endpoint)
    assert (place.live(endpoint), set(place.view(endpoint).models)) == (TO_BLUE, {"blue", "green"})

    WRITES[write](replace(place, until=soon()), endpoint)


def test_endpoint_is_not_made_late(place: Place, name: str) -> None:
    with pytest.raises(AzureUnavailable, match="late"):
        replace(place, until=datetime.now(UTC)).endpoints.ensure(name)

    assert place.endpoints.view(name) is None


def test_late_look_is_as_good_as_any(place: Place, deployed: str) -> None:
    late = replace(place, until=datetime.now(UTC))

    assert late.view(deployed) == place.view(deployed)
    assert late.state(deployed, "blue") is DeploymentState.READY
    late.endpoints.ensure(deployed)


# --- 6: deleting ------------------------------------------------------------------------------------------


def test_deployment_without_traffic_can_be_deleted_and_again(place: Place, name: str) -> None:
    endpoint = place.deploy_two(name)
    place.endpoints.set_traffic(endpoint, TO_BLUE)

    place.endpoints.delete_deployment(endpoint, "green")
    place.world.until(lambda: place.state(endpoint, "green") is DeploymentState.ABSENT)
    place.endpoints.delete_deployment(endpoint, "green")

    assert set(place.view(endpoint).models) == {"blue"}


def test_deleting_at_an_endpoint_that_azure_does_not_know_changes_nothing(place: Place, name: str) -> None:
    place.endpoints.delete_deployment(name, "green")

    assert place.endpoints.view(name) is None


def test_deployment_with_traffic_cannot_be_deleted(place: Place, deployed: str) -> None:
    place.endpoints.set_traffic(deployed, TO_BLUE)

    with pytest.raises(AzureRefused):
        place.endpoints.delete_deployment(deployed, "blue")

    assert place.state(deployed, "blue") is DeploymentState.READY


def test_endpoint_that_azure_does_not_know_cannot_be_used(place: Place, name: str) -> None:
    with pytest.raises(AzureNotFound):
        place.endpoints.set_traffic(name, TO_BLUE)
    with pytest.raises(AzureNotFound):
        place.endpoints.create_deployment(name, "blue", place.version(name, "1"), place.rule)
    with pytest.raises(AzureRefused):
        place.endpoints.score(name, SCORE_REQUEST)


# --- 7: batch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traffic", "mirror"),
    [({"blue": 90, "green": 10}, {}), ({"blue": 100}, {"green": 20}), ({"blue": 50}, {}), ({}, {"green": 20})],
)
def test_batch_endpoint_knows_all_or_nothing_and_no_mirror(
    world: AzureWorld, deployed_batch: str, traffic: dict[str, int], mirror: dict[str, int]
) -> None:
    world.endpoints["batch"].set_traffic(deployed_batch, TO_GREEN)

    with pytest.raises(AzureRefused, match="one deployment"):
        world.endpoints["batch"].set_traffic(deployed_batch, traffic, mirror=mirror)

    assert Place(world, "batch").live(deployed_batch) == {"green": 100}


def test_batch_endpoint_does_not_answer_requests(world: AzureWorld, deployed_batch: str) -> None:
    with pytest.raises(AzureRefused, match="by jobs"):
        world.endpoints["batch"].score(deployed_batch, SCORE_REQUEST)


def test_endpoints_of_two_kinds_with_one_name_know_nothing_of_each_other(world: AzureWorld, name: str) -> None:
    world.endpoints["batch"].ensure(name)

    assert world.endpoints["online"].view(name) is None
