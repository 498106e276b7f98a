"""The obligations of the Azure ports, numbered as in anew.engine.ports, in memory and through the real SDK clients."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from anew.core.policy import AzureMLLauncher, DataFactoryLauncher, Deploy
from anew.core.tags import RETRAINING_TAG
from anew.engine.ports import DeploymentState, ModelVersion, RunStatus, RunView, TrainingOrder
from anew.errors import AzureNotFound, AzureRefused
from tests.contract.azure_worlds import PIPELINE, SCORE_REQUEST, AzureWorld, memory_world, real_world

RULE = Deploy.model_validate({"match": {"stage": "production"}, "endpoint": "unused"})


@pytest.fixture(scope="module", params=["memory", "local-azure"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[AzureWorld]:
    made = memory_world() if request.param == "memory" else real_world(tmp_path_factory.mktemp("azure"))
    with made as ready:
        yield ready


@pytest.fixture
def name() -> str:
    """A name that no other test of the same world uses."""
    return f"t{uuid4().hex[:8]}"


def pipeline_order(name: str, pipeline: str = PIPELINE) -> TrainingOrder:
    launcher = DataFactoryLauncher(kind="adf", pipeline=pipeline)
    return TrainingOrder(name, f"{name}-train", "price", launcher, datetime.now(UTC))


def job_order(world: AzureWorld, name: str) -> TrainingOrder:
    launcher = AzureMLLauncher(kind="aml", job=world.document)
    return TrainingOrder(name, f"{name}-train", "price", launcher, datetime.now(UTC))


def version(name: str, number: str = "1", *, job: str = "job", **tags: str) -> ModelVersion:
    return ModelVersion(name, number, tags, f"azureml://jobs/{job}/outputs/model")


# --- TrainingLauncher -------------------------------------------------------------------------------------


def test_pipeline_run_is_found_by_the_order_that_launched_it(world: AzureWorld, name: str) -> None:
    order = pipeline_order(name)
    assert world.pipelines.find(order) is None

    run = world.pipelines.launch(order)

    assert world.pipelines.find(order) == run
    assert world.pipelines.find(pipeline_order(f"{name}-other")) is None


def test_launching_a_pipeline_twice_makes_two_runs_which_is_why_it_is_looked_for_first(
    world: AzureWorld, name: str
) -> None:
    order = pipeline_order(name)

    assert world.pipelines.launch(order) != world.pipelines.launch(order)


def test_pipeline_run_is_seen_to_its_end(world: AzureWorld, name: str) -> None:
    order = pipeline_order(name)
    run = world.pipelines.launch(order)

    def ended() -> bool:
        view = world.pipelines.view(order, run)
        return view is not None and view.status is RunStatus.COMPLETED

    assert world.until(ended)


def test_pipeline_run_that_azure_does_not_know_is_none(world: AzureWorld, name: str) -> None:
    assert world.pipelines.view(pipeline_order(name), str(uuid4())) is None


def test_training_job_is_launched_once_for_its_order(world: AzureWorld, name: str) -> None:
    order = job_order(world, name)
    assert world.training_jobs.find(order) is None

    first = world.training_jobs.launch(order)

    assert world.training_jobs.launch(order) == first == world.training_jobs.find(order) == f"{name}-train"


def test_training_job_carries_the_retrainings_id_and_ends(world: AzureWorld, name: str) -> None:
    order = job_order(world, name)
    run = world.training_jobs.launch(order)

    def ended() -> bool:
        view = world.training_jobs.view(order, run)
        return view is not None and view.status is RunStatus.COMPLETED

    assert world.until(ended)
    view = world.training_jobs.view(order, run)
    assert view is not None
    assert view.tags[RETRAINING_TAG] == name


def test_cancelled_pipeline_run_ends_canceled_and_may_be_cancelled_again(world: AzureWorld, name: str) -> None:
    order = pipeline_order(name)
    run = world.pipelines.launch(order)

    world.pipelines.cancel(order, run)

    assert world.until(lambda: status(world.pipelines.view(order, run)) is RunStatus.CANCELED)
    world.pipelines.cancel(order, run)
    assert status(world.pipelines.view(order, run)) is RunStatus.CANCELED


def test_cancelling_what_azure_does_not_know_changes_nothing(world: AzureWorld, name: str) -> None:
    world.pipelines.cancel(pipeline_order(name), str(uuid4()))
    world.training_jobs.cancel(job_order(world, name), name)
    world.jobs.cancel(name)


def test_pipeline_run_is_among_the_ended_when_it_has_ended(world: AzureWorld, name: str) -> None:
    order, since = pipeline_order(name), datetime.now(UTC) - timedelta(minutes=1)
    run = world.pipelines.launch(order)
    assert run not in world.pipelines.ended([order.launcher], since, datetime.now(UTC))

    assert world.until(lambda: status(world.pipelines.view(order, run)) is RunStatus.COMPLETED)

    assert run in world.pipelines.ended([order.launcher], since, datetime.now(UTC))


def test_launcher_refuses_an_order_of_the_other_kind(world: AzureWorld, name: str) -> None:
    with pytest.raises(TypeError):
        world.pipelines.launch(job_order(world, name))
    with pytest.raises(TypeError):
        world.training_jobs.launch(pipeline_order(name))


def status(view: RunView | None) -> RunStatus | None:
    return view.status if view else None


# --- Jobs -------------------------------------------------------------------------------------------------


def test_job_is_among_the_ended_when_it_has_ended(world: AzureWorld, name: str) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name})

    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    assert name in world.jobs.ended(since, datetime.now(UTC))


def test_job_that_has_ended_stays_as_it_ended_when_it_is_cancelled(world: AzureWorld, name: str) -> None:
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name})
    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    world.jobs.cancel(name)

    assert status(world.jobs.get(name)) is RunStatus.COMPLETED


def test_job_submitted_again_for_the_same_retraining_changes_nothing(world: AzureWorld, name: str) -> None:
    tags = {RETRAINING_TAG: name}
    world.jobs.submit(name, world.document, {"train_rows": 150}, tags)

    world.jobs.submit(name, world.document, {"train_rows": 150}, tags)

    job = world.jobs.get(name)
    assert job is not None
    assert job.tags[RETRAINING_TAG] == name


def test_job_of_the_same_name_for_another_retraining_is_refused(world: AzureWorld, name: str) -> None:
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name})

    with pytest.raises(AzureRefused):
        world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: "somebody-else"})


def test_job_that_azure_does_not_know_is_none(world: AzureWorld, name: str) -> None:
    assert world.jobs.get(name) is None


# --- ModelRegistry ----------------------------------------------------------------------------------------


def test_registered_version_is_read_back(world: AzureWorld, name: str) -> None:
    wanted = version(name, stage="production")

    world.registry.register(wanted, "mlflow_model", "why")

    found = world.registry.get(name, "1")
    assert found is not None
    assert (found.model, found.version, found.tags) == (name, "1", {"stage": "production"})


def test_version_registered_again_with_its_path_is_not_another_one(world: AzureWorld, name: str) -> None:
    for _ in range(2):
        world.registry.register(version(name), "mlflow_model", "why")

    assert [item.version for item in world.registry.versions(name)] == ["1"]


def test_version_that_exists_with_another_path_is_refused(world: AzureWorld, name: str) -> None:
    world.registry.register(version(name, job="first"), "mlflow_model", "why")

    with pytest.raises(AzureRefused):
        world.registry.register(version(name, job="second"), "mlflow_model", "why")

    found = world.registry.get(name, "1")
    assert found is not None
    assert "first" in found.path


def test_versions_come_newest_first_as_numbers(world: AzureWorld, name: str) -> None:
    for number in ("9", "10", "2"):
        world.registry.register(version(name, number, job=f"job-{number}"), "mlflow_model", "why")

    assert [item.version for item in world.registry.versions(name)] == ["10", "9", "2"]


def test_model_that_azure_does_not_know_has_no_versions(world: AzureWorld, name: str) -> None:
    assert world.registry.versions(name) == []
    assert world.registry.get(name, "1") is None


# --- Endpoints --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed(world: AzureWorld) -> str:
    """The endpoint of the tests that leave its deployments as they are."""
    return deploy_two(world, "shared-online")


def deploy_two(world: AzureWorld, name: str) -> str:
    """An endpoint with two ready deployments, blue and green, of versions 1 and 2."""
    world.endpoints.ensure(name)
    for number, color in (("1", "blue"), ("2", "green")):
        world.make_model(f"{name}-{color}")
        model = version(name, number, job=f"{name}-{color}")
        world.registry.register(model, "mlflow_model", "why")
        world.endpoints.create_deployment(name, color, model, RULE)
        world.until(lambda color=color: world.endpoints.deployment_state(name, color) is DeploymentState.READY)
    return name


def test_endpoint_is_made_once(world: AzureWorld, name: str) -> None:
    assert world.endpoints.view(name) is None

    world.endpoints.ensure(name)
    world.endpoints.ensure(name)

    view = world.endpoints.view(name)
    assert view is not None
    assert (view.name, view.traffic, view.models) == (name, {}, {})


def test_deployments_show_the_model_they_serve(world: AzureWorld, deployed: str) -> None:
    view = world.endpoints.view(deployed)

    assert view is not None
    assert view.models == {"blue": f"{deployed}:1", "green": f"{deployed}:2"}


def test_deployment_nobody_made_is_absent(world: AzureWorld, deployed: str) -> None:
    assert world.endpoints.deployment_state(deployed, "red") is DeploymentState.ABSENT


def test_deployment_made_again_is_as_it_was(world: AzureWorld, deployed: str) -> None:
    world.endpoints.set_traffic(deployed, {"blue": 100})
    model = version(deployed, "1", job=f"{deployed}-blue")

    world.endpoints.create_deployment(deployed, "blue", model, RULE)
    world.until(lambda: world.endpoints.deployment_state(deployed, "blue") is DeploymentState.READY)

    view = world.endpoints.view(deployed)
    assert view is not None
    assert view.traffic["blue"] == 100


@pytest.mark.parametrize("split", [{"blue": 90, "green": 10}, {"blue": 0, "green": 100}, {"green": 100}])
def test_traffic_is_as_written(world: AzureWorld, deployed: str, split: dict[str, int]) -> None:
    world.endpoints.set_traffic(deployed, {"blue": 100})

    world.endpoints.set_traffic(deployed, split)

    view = world.endpoints.view(deployed)
    assert view is not None
    assert {name: share for name, share in view.traffic.items() if share} == {
        name: share for name, share in split.items() if share
    }


@pytest.mark.parametrize("split", [{"blue": 50}, {"red": 100}])
def test_impossible_traffic_is_refused(world: AzureWorld, deployed: str, split: dict[str, int]) -> None:
    with pytest.raises(AzureRefused):
        world.endpoints.set_traffic(deployed, split)


def test_request_goes_to_the_deployment_asked_for_and_else_where_the_traffic_goes(
    world: AzureWorld, deployed: str
) -> None:
    world.endpoints.set_traffic(deployed, {"blue": 100})

    asked, _ = world.endpoints.score(deployed, SCORE_REQUEST, "green")
    routed, predictions = world.endpoints.score(deployed, SCORE_REQUEST)

    assert (asked, routed) == ("green", "blue")
    assert predictions


def test_deployment_without_traffic_can_be_deleted_and_again(world: AzureWorld, name: str) -> None:
    deployed = deploy_two(world, name)
    world.endpoints.set_traffic(deployed, {"blue": 100})

    world.endpoints.delete_deployment(deployed, "green")
    world.until(lambda: world.endpoints.deployment_state(deployed, "green") is DeploymentState.ABSENT)
    world.endpoints.delete_deployment(deployed, "green")


def test_deployment_with_traffic_cannot_be_deleted(world: AzureWorld, deployed: str) -> None:
    world.endpoints.set_traffic(deployed, {"blue": 100})

    with pytest.raises(AzureRefused):
        world.endpoints.delete_deployment(deployed, "blue")


def test_endpoint_that_azure_does_not_know_cannot_be_used(world: AzureWorld, name: str) -> None:
    with pytest.raises(AzureNotFound):
        world.endpoints.set_traffic(name, {"blue": 100})
    with pytest.raises(AzureNotFound):
        world.endpoints.score(name, SCORE_REQUEST)
    assert world.endpoints.deployment_state(name, "blue") is DeploymentState.ABSENT
