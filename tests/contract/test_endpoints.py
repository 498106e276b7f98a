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


def test_endpoint_is_created_once(place: Place, name: str) -> None:
    """An endpoint is created once, and `ensure` may be repeated."""
    assert place.endpoints.view(name) is None

    place.endpoints.ensure(name)
    place.endpoints.ensure(name)

    assert place.view(name) == EndpointView(name, {}, {})


def test_ensure_keeps_the_traffic(place: Place, deployed: str) -> None:
    """An `ensure` of an existing endpoint keeps its traffic."""
    place.endpoints.set_traffic(deployed, TO_GREEN)

    place.endpoints.ensure(deployed)

    assert place.live(deployed) == {"green": 100}


def test_view_shows_model_versions(place: Place, deployed: str) -> None:
    """The view of an endpoint shows the model version of each deployment."""
    model = f"{deployed}-{place.kind}"

    assert place.view(deployed).models == {"blue": f"{model}:1", "green": f"{model}:2"}


def test_unknown_deployment_is_absent(place: Place, deployed: str, name: str) -> None:
    """A deployment that was never created is absent, also at an unknown endpoint."""
    assert place.state(deployed, "red") is DeploymentState.ABSENT
    assert place.state(name, "blue") is DeploymentState.ABSENT


def test_repeated_creation_changes_nothing(place: Place, deployed: str) -> None:
    """A deployment created again stays ready and keeps its traffic."""
    place.endpoints.set_traffic(deployed, TO_BLUE)

    place.endpoints.create_deployment(deployed, "blue", place.version(deployed, "1"), place.rule)
    place.world.until(lambda: place.state(deployed, "blue") is DeploymentState.READY)

    assert place.live(deployed) == TO_BLUE


# --- 3: traffic -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [TO_GREEN, {"green": 100}, TO_BLUE, {"green": 100, "red": 0}, {}])
def test_traffic_is_as_written(place: Place, deployed: str, split: dict[str, int]) -> None:
    """An endpoint has the traffic that was last written."""
    place.endpoints.set_traffic(deployed, TO_BLUE)

    place.endpoints.set_traffic(deployed, split)

    assert place.live(deployed) == nonzero(split)


def test_online_split_and_mirror(online: Place, deployed_online: str) -> None:
    """An online endpoint splits and mirrors traffic as written, and a write without a mirror ends it."""
    online.endpoints.set_traffic(deployed_online, {"blue": 90, "green": 10})
    assert online.live(deployed_online) == {"blue": 90, "green": 10}

    online.endpoints.set_traffic(deployed_online, TO_BLUE, mirror={"green": 20})
    view = online.view(deployed_online)
    assert (nonzero(view.traffic), view.mirror) == (TO_BLUE, {"green": 20})

    online.endpoints.set_traffic(deployed_online, {"blue": 95, "green": 5})
    view = online.view(deployed_online)
    assert (nonzero(view.traffic), view.mirror) == ({"blue": 95, "green": 5}, {})


@pytest.mark.parametrize("split", [{"blue": 50}, {"red": 100}])
def test_invalid_traffic_is_refused(place: Place, deployed: str, split: dict[str, int]) -> None:
    """Traffic that does not add up or names no deployment is refused and changes nothing."""
    place.endpoints.set_traffic(deployed, TO_BLUE)

    with pytest.raises(AzureRefused):
        place.endpoints.set_traffic(deployed, split)

    assert place.live(deployed) == TO_BLUE


@pytest.mark.parametrize("mirror", [{"green": 60}, {"blue": 20}, {"red": 20}])
def test_invalid_mirror_is_refused(online: Place, deployed_online: str, mirror: dict[str, int]) -> None:
    """A mirror above 50 percent, to a live or to an unknown deployment is refused."""
    online.endpoints.set_traffic(deployed_online, TO_BLUE)

    with pytest.raises(AzureRefused):
        online.endpoints.set_traffic(deployed_online, TO_BLUE, mirror=mirror)

    assert online.view(deployed_online).mirror == {}


def test_expected_traffic_ignores_zero_shares(place: Place, deployed: str) -> None:
    """The comparison with the expected traffic ignores deployments without a share."""
    place.endpoints.set_traffic(deployed, TO_BLUE)

    place.endpoints.set_traffic(deployed, TO_GREEN, expected={"blue": 100, "green": 0, "red": 0})

    assert place.live(deployed) == {"green": 100}


@pytest.mark.parametrize("expected", [TO_GREEN, {}, {"blue": 99, "green": 1}])
def test_moved_traffic_is_not_overwritten(place: Place, deployed: str, expected: dict[str, int]) -> None:
    """Traffic that differs from the expected traffic is not overwritten."""
    place.endpoints.set_traffic(deployed, TO_BLUE)

    with pytest.raises(TrafficMoved):
        place.endpoints.set_traffic(deployed, TO_GREEN, expected=expected)

    assert place.live(deployed) == TO_BLUE


def test_first_traffic_expects_none(place: Place, name: str) -> None:
    """The first traffic of an endpoint is written if none is expected."""
    endpoint = place.deploy_two(name)

    place.endpoints.set_traffic(endpoint, TO_BLUE, expected={})

    assert place.live(endpoint) == TO_BLUE


# --- 4: scoring -------------------------------------------------------------------------------------------


def test_score_follows_deployment_or_traffic(online: Place, deployed_online: str) -> None:
    """A request goes to the deployment it names, and otherwise follows the traffic."""
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
def test_busy_endpoint_refuses_writes(place: Place, name: str, write: str) -> None:
    """While an endpoint changes, a write raises AzureUnavailable and changes nothing. Later it succeeds."""
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
    """A write after its deadline changes nothing and may be repeated."""
    endpoint = place.deploy_two(name)
    place.endpoints.set_traffic(endpoint, TO_BLUE)

    with pytest.raises(AzureUnavailable, match="late"):
        WRITES[write](replace(place, until=datetime.now(UTC)), endpoint)
    assert (place.live(endpoint), set(place.view(endpoint).models)) == (TO_BLUE, {"blue", "green"})

    WRITES[write](replace(place, until=soon()), endpoint)


def test_late_endpoint_is_not_created(place: Place, name: str) -> None:
    """An endpoint is not created after the deadline."""
    with pytest.raises(AzureUnavailable, match="late"):
        replace(place, until=datetime.now(UTC)).endpoints.ensure(name)

    assert place.endpoints.view(name) is None


def test_late_reads_are_allowed(place: Place, deployed: str) -> None:
    """Reads, and an `ensure` of an existing endpoint, have no deadline."""
    late = replace(place, until=datetime.now(UTC))

    assert late.view(deployed) == place.view(deployed)
    assert late.state(deployed, "blue") is DeploymentState.READY
    late.endpoints.ensure(deployed)


# --- 6: deleting ------------------------------------------------------------------------------------------


def test_idle_deployment_can_be_deleted(place: Place, name: str) -> None:
    """A deployment without traffic can be deleted, and the deletion may be repeated."""
    endpoint = place.deploy_two(name)
    place.endpoints.set_traffic(endpoint, TO_BLUE)

    place.endpoints.delete_deployment(endpoint, "green")
    place.world.until(lambda: place.state(endpoint, "green") is DeploymentState.ABSENT)
    place.endpoints.delete_deployment(endpoint, "green")

    assert set(place.view(endpoint).models) == {"blue"}


def test_delete_at_unknown_endpoint(place: Place, name: str) -> None:
    """A deletion at an unknown endpoint changes nothing."""
    place.endpoints.delete_deployment(name, "green")

    assert place.endpoints.view(name) is None


def test_live_deployment_is_not_deleted(place: Place, deployed: str) -> None:
    """A deployment with traffic cannot be deleted."""
    place.endpoints.set_traffic(deployed, TO_BLUE)

    with pytest.raises(AzureRefused):
        place.endpoints.delete_deployment(deployed, "blue")

    assert place.state(deployed, "blue") is DeploymentState.READY


def test_unknown_endpoint_cannot_be_used(place: Place, name: str) -> None:
    """An unknown endpoint takes no traffic, no deployment and no request."""
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
def test_batch_traffic_is_not_split(
    world: AzureWorld, deployed_batch: str, traffic: dict[str, int], mirror: dict[str, int]
) -> None:
    """A batch endpoint gives all traffic to one deployment and refuses shares and mirrors."""
    world.endpoints["batch"].set_traffic(deployed_batch, TO_GREEN)

    with pytest.raises(AzureRefused, match="one deployment"):
        world.endpoints["batch"].set_traffic(deployed_batch, traffic, mirror=mirror)

    assert Place(world, "batch").live(deployed_batch) == {"green": 100}


def test_batch_endpoint_refuses_requests(world: AzureWorld, deployed_batch: str) -> None:
    """A batch endpoint refuses a scoring request."""
    with pytest.raises(AzureRefused, match="by jobs"):
        world.endpoints["batch"].score(deployed_batch, SCORE_REQUEST)


def test_endpoint_kinds_are_separate(world: AzureWorld, name: str) -> None:
    """A batch endpoint is no online endpoint of the same name."""
    world.endpoints["batch"].ensure(name)

    assert world.endpoints["online"].view(name) is None
