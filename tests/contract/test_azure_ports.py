"""The obligations of the Azure ports, numbered as in engine/base/ports.py, in memory and through the real SDK clients.

Those of endpoints are in test_endpoints.
"""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from anew.adapters.azure.data_factory.launcher import DataFactoryTraining
from anew.adapters.azure.machine_learning.workspace import AzureMLJobs, AzureMLRegistry, AzureMLTraining
from anew.adapters.memory.azure import MemoryJobs, MemoryPipelines, MemoryTrainingJobs
from anew.adapters.memory.endpoints import MemoryRegistry
from anew.core.policies.policy import AzureMLLauncher, DataFactoryLauncher
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.ports import (
    Jobs,
    ModelRegistry,
    ModelVersion,
    RunStatus,
    RunView,
    TrainingLauncher,
    TrainingOrder,
)
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable
from tests.contract.azure_worlds import PIPELINE, AzureWorld, memory_world, real_world, soon

CONTRACT = {
    TrainingLauncher: (MemoryPipelines, MemoryTrainingJobs, DataFactoryTraining, AzureMLTraining),
    Jobs: (MemoryJobs, AzureMLJobs),
    ModelRegistry: (MemoryRegistry, AzureMLRegistry),
}


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

    run = world.pipelines.launch(order, soon())

    assert world.pipelines.find(order) == run
    assert world.pipelines.find(pipeline_order(f"{name}-other")) is None


def test_launching_a_pipeline_twice_makes_two_runs_which_is_why_it_is_looked_for_first(
    world: AzureWorld, name: str
) -> None:
    order = pipeline_order(name)

    assert world.pipelines.launch(order, soon()) != world.pipelines.launch(order, soon())


def test_pipeline_run_is_seen_to_its_end(world: AzureWorld, name: str) -> None:
    order = pipeline_order(name)
    run = world.pipelines.launch(order, soon())

    def ended() -> bool:
        view = world.pipelines.view(order, run)
        return view is not None and view.status is RunStatus.COMPLETED

    assert world.until(ended)


def test_pipeline_run_that_azure_does_not_know_is_none(world: AzureWorld, name: str) -> None:
    assert world.pipelines.view(pipeline_order(name), str(uuid4())) is None


def test_training_job_is_launched_once_for_its_order(world: AzureWorld, name: str) -> None:
    order = job_order(world, name)
    assert world.training_jobs.find(order) is None

    first = world.training_jobs.launch(order, soon())

    assert world.training_jobs.launch(order, soon()) == first == world.training_jobs.find(order) == f"{name}-train"


def test_training_job_carries_the_retrainings_id_and_ends(world: AzureWorld, name: str) -> None:
    order = job_order(world, name)
    run = world.training_jobs.launch(order, soon())

    def ended() -> bool:
        view = world.training_jobs.view(order, run)
        return view is not None and view.status is RunStatus.COMPLETED

    assert world.until(ended)
    view = world.training_jobs.view(order, run)
    assert view is not None
    assert view.tags[RETRAINING_TAG] == name


def test_cancelled_pipeline_run_ends_canceled_and_may_be_cancelled_again(world: AzureWorld, name: str) -> None:
    order = pipeline_order(name)
    run = world.pipelines.launch(order, soon())

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
    run = world.pipelines.launch(order, soon())
    ended = world.pipelines.ended([order.launcher], since, datetime.now(UTC))
    assert run not in ended or status(world.pipelines.view(order, run)) is RunStatus.COMPLETED

    assert world.until(lambda: status(world.pipelines.view(order, run)) is RunStatus.COMPLETED)

    assert run in world.pipelines.ended([order.launcher], since, datetime.now(UTC))


@pytest.mark.parametrize("kind", ["adf", "aml"])
def test_late_launch_makes_nothing_and_may_be_repeated(world: AzureWorld, name: str, kind: str) -> None:
    launcher = {"adf": world.pipelines, "aml": world.training_jobs}[kind]
    order = {"adf": pipeline_order(name), "aml": job_order(world, name)}[kind]

    with pytest.raises(AzureUnavailable, match="late"):
        launcher.launch(order, datetime.now(UTC))

    assert launcher.find(order) is None
    run = launcher.launch(order, soon())
    assert launcher.find(order) == run


def test_launcher_refuses_an_order_of_the_other_kind(world: AzureWorld, name: str) -> None:
    with pytest.raises(TypeError):
        world.pipelines.launch(job_order(world, name), soon())
    with pytest.raises(TypeError):
        world.training_jobs.launch(pipeline_order(name), soon())


def status(view: RunView | None) -> RunStatus | None:
    return view.status if view else None


# --- Jobs -------------------------------------------------------------------------------------------------


def test_job_is_among_the_ended_when_it_has_ended(world: AzureWorld, name: str) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())

    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    assert name in world.jobs.ended(since, datetime.now(UTC))


def test_job_that_has_ended_stays_as_it_ended_when_it_is_cancelled(world: AzureWorld, name: str) -> None:
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())
    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    world.jobs.cancel(name)

    assert status(world.jobs.get(name)) is RunStatus.COMPLETED


def test_job_submitted_again_for_the_same_retraining_changes_nothing(world: AzureWorld, name: str) -> None:
    tags = {RETRAINING_TAG: name}
    world.jobs.submit(name, world.document, {"train_rows": 150}, tags, soon())

    world.jobs.submit(name, world.document, {"train_rows": 150}, tags, soon())

    job = world.jobs.get(name)
    assert job is not None
    assert job.tags[RETRAINING_TAG] == name


def test_job_of_the_same_name_for_another_retraining_is_refused(world: AzureWorld, name: str) -> None:
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())

    with pytest.raises(AzureRefused):
        world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: "somebody-else"}, soon())


def test_job_that_azure_does_not_know_is_none_and_has_no_metrics(world: AzureWorld, name: str) -> None:
    assert world.jobs.get(name) is None
    with pytest.raises(AzureNotFound):
        world.jobs.metrics(name)


def test_metrics_of_a_job_are_the_last_finite_values_it_logged(world: AzureWorld, name: str) -> None:
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())
    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    metrics = world.jobs.metrics(name)

    assert set(metrics) == {"train_accuracy"}
    assert 0 < metrics["train_accuracy"] <= 1


def test_optional_input_that_nobody_declares_keeps_no_job_from_being_submitted(world: AzureWorld, name: str) -> None:
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon(), optional={"gate": "{}"})

    assert world.jobs.get(name) is not None


def test_late_job_is_not_submitted(world: AzureWorld, name: str) -> None:
    with pytest.raises(AzureUnavailable, match="late"):
        world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, datetime.now(UTC))

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


def test_tags_are_set_beside_those_there_are_and_all_else_stays(world: AzureWorld, name: str) -> None:
    world.registry.register(version(name, stage="staging", owner="us"), "mlflow_model", "why")
    before = world.registry.get(name, "1")
    assert before is not None

    for _ in range(2):
        world.registry.set_tags(name, "1", {"stage": "production", "release": "7"})

    after = world.registry.get(name, "1")
    assert after is not None
    assert after.tags == {"stage": "production", "release": "7", "owner": "us"}
    assert (after.path, [item.version for item in world.registry.versions(name)]) == (before.path, ["1"])


def test_tags_of_a_version_that_azure_does_not_know_are_not_set(world: AzureWorld, name: str) -> None:
    with pytest.raises(AzureNotFound):
        world.registry.set_tags(name, "1", {"stage": "production"})
