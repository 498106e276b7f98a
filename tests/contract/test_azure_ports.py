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


def test_pipeline_run_is_found_by_order(world: AzureWorld, name: str) -> None:
    """A pipeline run is found by the order that launched it and by no other."""
    order = pipeline_order(name)
    assert world.pipelines.find(order) is None

    run = world.pipelines.launch(order, soon())

    assert world.pipelines.find(order) == run
    assert world.pipelines.find(pipeline_order(f"{name}-other")) is None


def test_repeated_launch_makes_two_runs(world: AzureWorld, name: str) -> None:
    """Two launches of one pipeline order make two runs."""
    order = pipeline_order(name)

    assert world.pipelines.launch(order, soon()) != world.pipelines.launch(order, soon())


def test_pipeline_run_completes(world: AzureWorld, name: str) -> None:
    """The view of a pipeline run shows its completion."""
    order = pipeline_order(name)
    run = world.pipelines.launch(order, soon())

    def ended() -> bool:
        view = world.pipelines.view(order, run)
        return view is not None and view.status is RunStatus.COMPLETED

    assert world.until(ended)


def test_unknown_pipeline_run_is_none(world: AzureWorld, name: str) -> None:
    """The view of an unknown pipeline run is None."""
    assert world.pipelines.view(pipeline_order(name), str(uuid4())) is None


def test_training_job_launches_once(world: AzureWorld, name: str) -> None:
    """Two launches of one order make one training job, which `find` returns."""
    order = job_order(world, name)
    assert world.training_jobs.find(order) is None

    first = world.training_jobs.launch(order, soon())

    assert world.training_jobs.launch(order, soon()) == first == world.training_jobs.find(order) == f"{name}-train"


def test_training_job_has_retraining_tag(world: AzureWorld, name: str) -> None:
    """A completed training job carries the id of its retraining as a tag."""
    order = job_order(world, name)
    run = world.training_jobs.launch(order, soon())

    def ended() -> bool:
        view = world.training_jobs.view(order, run)
        return view is not None and view.status is RunStatus.COMPLETED

    assert world.until(ended)
    view = world.training_jobs.view(order, run)
    assert view is not None
    assert view.tags[RETRAINING_TAG] == name


def test_pipeline_run_can_be_cancelled(world: AzureWorld, name: str) -> None:
    """A cancelled pipeline run ends as canceled, and a second cancel changes nothing."""
    order = pipeline_order(name)
    run = world.pipelines.launch(order, soon())

    world.pipelines.cancel(order, run)

    assert world.until(lambda: status(world.pipelines.view(order, run)) is RunStatus.CANCELED)
    world.pipelines.cancel(order, run)
    assert status(world.pipelines.view(order, run)) is RunStatus.CANCELED


def test_cancel_of_unknown_run_is_harmless(world: AzureWorld, name: str) -> None:
    """A cancel of an unknown run or job raises no error."""
    world.pipelines.cancel(pipeline_order(name), str(uuid4()))
    world.training_jobs.cancel(job_order(world, name), name)
    world.jobs.cancel(name)


def test_completed_pipeline_run_is_listed(world: AzureWorld, name: str) -> None:
    """`ended` lists a pipeline run once it has completed, and not before."""
    order, since = pipeline_order(name), datetime.now(UTC) - timedelta(minutes=1)
    run = world.pipelines.launch(order, soon())
    ended = world.pipelines.ended([order.launcher], since, datetime.now(UTC))
    assert run not in ended or status(world.pipelines.view(order, run)) is RunStatus.COMPLETED

    assert world.until(lambda: status(world.pipelines.view(order, run)) is RunStatus.COMPLETED)

    assert run in world.pipelines.ended([order.launcher], since, datetime.now(UTC))


@pytest.mark.parametrize("kind", ["adf", "aml"])
def test_late_launch_creates_nothing(world: AzureWorld, name: str, kind: str) -> None:
    """A launch after its deadline creates no run and may be repeated."""
    launcher = {"adf": world.pipelines, "aml": world.training_jobs}[kind]
    order = {"adf": pipeline_order(name), "aml": job_order(world, name)}[kind]

    with pytest.raises(AzureUnavailable, match="late"):
        launcher.launch(order, datetime.now(UTC))

    assert launcher.find(order) is None
    run = launcher.launch(order, soon())
    assert launcher.find(order) == run


def test_launcher_refuses_other_order_kind(world: AzureWorld, name: str) -> None:
    """A launcher refuses an order of the other kind."""
    with pytest.raises(TypeError):
        world.pipelines.launch(job_order(world, name), soon())
    with pytest.raises(TypeError):
        world.training_jobs.launch(pipeline_order(name), soon())


def status(view: RunView | None) -> RunStatus | None:
    return view.status if view else None


# --- Jobs -------------------------------------------------------------------------------------------------


def test_completed_job_is_listed(world: AzureWorld, name: str) -> None:
    """`ended` lists a job that has completed."""
    since = datetime.now(UTC) - timedelta(minutes=1)
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())

    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    assert name in world.jobs.ended(since, datetime.now(UTC))


def test_cancel_keeps_a_completed_job(world: AzureWorld, name: str) -> None:
    """A cancel does not change the status of a completed job."""
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())
    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    world.jobs.cancel(name)

    assert status(world.jobs.get(name)) is RunStatus.COMPLETED


def test_repeated_submission_changes_nothing(world: AzureWorld, name: str) -> None:
    """A job submitted again for the same retraining changes nothing."""
    tags = {RETRAINING_TAG: name}
    world.jobs.submit(name, world.document, {"train_rows": 150}, tags, soon())

    world.jobs.submit(name, world.document, {"train_rows": 150}, tags, soon())

    job = world.jobs.get(name)
    assert job is not None
    assert job.tags[RETRAINING_TAG] == name


def test_job_name_conflict_is_refused(world: AzureWorld, name: str) -> None:
    """A job with the name of the job of another retraining is refused."""
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())

    with pytest.raises(AzureRefused):
        world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: "somebody-else"}, soon())


def test_unknown_job_is_none(world: AzureWorld, name: str) -> None:
    """An unknown job is None, and a request for its metrics raises AzureNotFound."""
    assert world.jobs.get(name) is None
    with pytest.raises(AzureNotFound):
        world.jobs.metrics(name)


def test_job_metrics_are_finite(world: AzureWorld, name: str) -> None:
    """The metrics of a job are the last finite values that it logged."""
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon())
    assert world.until(lambda: status(world.jobs.get(name)) is RunStatus.COMPLETED)

    metrics = world.jobs.metrics(name)

    assert set(metrics) == {"train_accuracy"}
    assert 0 < metrics["train_accuracy"] <= 1


def test_undeclared_optional_input_is_ignored(world: AzureWorld, name: str) -> None:
    """An optional input that the job does not declare does not stop its submission."""
    world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, soon(), optional={"gate": "{}"})

    assert world.jobs.get(name) is not None


def test_late_job_is_not_submitted(world: AzureWorld, name: str) -> None:
    """A job after its deadline is not submitted."""
    with pytest.raises(AzureUnavailable, match="late"):
        world.jobs.submit(name, world.document, {}, {RETRAINING_TAG: name}, datetime.now(UTC))

    assert world.jobs.get(name) is None


# --- ModelRegistry ----------------------------------------------------------------------------------------


def test_registered_version_is_read_back(world: AzureWorld, name: str) -> None:
    """A registered version is read back with its model, number and tags."""
    wanted = version(name, stage="production")

    world.registry.register(wanted, "mlflow_model", "why")

    found = world.registry.get(name, "1")
    assert found is not None
    assert (found.model, found.version, found.tags) == (name, "1", {"stage": "production"})


def test_repeated_registration_changes_nothing(world: AzureWorld, name: str) -> None:
    """A version registered again with the same path makes no second version."""
    for _ in range(2):
        world.registry.register(version(name), "mlflow_model", "why")

    assert [item.version for item in world.registry.versions(name)] == ["1"]


def test_version_conflict_is_refused(world: AzureWorld, name: str) -> None:
    """A version that exists with another path is refused and stays as it is."""
    world.registry.register(version(name, job="first"), "mlflow_model", "why")

    with pytest.raises(AzureRefused):
        world.registry.register(version(name, job="second"), "mlflow_model", "why")

    found = world.registry.get(name, "1")
    assert found is not None
    assert "first" in found.path


def test_versions_are_newest_first(world: AzureWorld, name: str) -> None:
    """Versions are listed newest first, in numeric order."""
    for number in ("9", "10", "2"):
        world.registry.register(version(name, number, job=f"job-{number}"), "mlflow_model", "why")

    assert [item.version for item in world.registry.versions(name)] == ["10", "9", "2"]


def test_unknown_model_has_no_versions(world: AzureWorld, name: str) -> None:
    """An unknown model has no versions."""
    assert world.registry.versions(name) == []
    assert world.registry.get(name, "1") is None


def test_set_tags_keeps_other_tags(world: AzureWorld, name: str) -> None:
    """New tags leave the other tags and the path of the version as they are."""
    world.registry.register(version(name, stage="staging", owner="us"), "mlflow_model", "why")
    before = world.registry.get(name, "1")
    assert before is not None

    for _ in range(2):
        world.registry.set_tags(name, "1", {"stage": "production", "release": "7"})

    after = world.registry.get(name, "1")
    assert after is not None
    assert after.tags == {"stage": "production", "release": "7", "owner": "us"}
    assert (after.path, [item.version for item in world.registry.versions(name)]) == (before.path, ["1"])


def test_unknown_version_gets_no_tags(world: AzureWorld, name: str) -> None:
    """Tags for an unknown version raise AzureNotFound."""
    with pytest.raises(AzureNotFound):
        world.registry.set_tags(name, "1", {"stage": "production"})
