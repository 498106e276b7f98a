"""What Azure ML's jobs and models come down to, beyond what the contract of the ports asks."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest
import yaml

from anew.adapters.azure.machine_learning.workspace import AzureMLJobs, AzureMLRegistry
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.emulator.machine_learning.runs import record_run
from anew.engine.base.ports import ModelVersion, RunStatus
from anew.errors import AzureRefused, AzureUnavailable, InvalidPolicy
from tests.contract.azure_worlds import RealClients, real_clients, soon
from tests.emulator.support import WORKSPACE_ID, train_document


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    with real_clients(tmp_path_factory.mktemp("ml")) as ready:
        yield ready


@pytest.fixture
def jobs(clients: RealClients) -> AzureMLJobs:
    return AzureMLJobs(lambda: clients.ml)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Running", RunStatus.RUNNING),
        ("Finalizing", RunStatus.RUNNING),
        ("CancelRequested", RunStatus.RUNNING),
        ("Completed", RunStatus.COMPLETED),
        ("Failed", RunStatus.FAILED),
        ("NotResponding", RunStatus.FAILED),
        ("Canceled", RunStatus.CANCELED),
    ],
)
def test_job_statuses_are_mapped(clients: RealClients, jobs: AzureMLJobs, status: str, expected: RunStatus) -> None:
    """Every status of an Azure ML job maps to a run status."""
    name = f"job-{status}"
    record_run(
        clients.azure.cloud,
        WORKSPACE_ID,
        name,
        experiment="retraining",
        status=status,
        tags={"data_hash": "f00d"},
        properties={},
    )

    view = jobs.get(name)

    assert view is not None
    assert (view.status, view.tags) == (expected, {"data_hash": "f00d"})


def test_job_view_has_experiment_and_commit(clients: RealClients, jobs: AzureMLJobs) -> None:
    """The view of a job has its experiment and the commit of its code."""
    for name, tags, properties in (
        ("sdk-job", {}, {"mlflow.source.git.commit": "c0ffee"}),
        ("mlflow-run", {"mlflow.source.git.commit": "c0ffee"}, {}),
    ):
        record_run(
            clients.azure.cloud,
            WORKSPACE_ID,
            name,
            experiment="nightly",
            status="Completed",
            tags=tags,
            properties=properties,
        )

        view = jobs.get(name)

        assert view is not None
        assert (view.experiment, view.git_commit) == ("nightly", "c0ffee")


def test_declared_optional_input_is_set(clients: RealClients, jobs: AzureMLJobs, tmp_path: Path) -> None:
    """An optional input is set only if the job file declares it."""
    document = tmp_path / "job.yml"
    content = train_document("in-the-file")
    document.write_text(yaml.safe_dump({**content, "inputs": {**content["inputs"], "gate": ""}}))
    gate = '{"kind":"non_inferiority","margin":0.01}'

    jobs.submit("with-gate", str(document), {}, {}, soon(), optional={"gate": gate, "unknown": "x"})

    kept = next(job for job in clients.azure.cloud.store.list("job") if job["name"] == "with-gate")
    assert kept["properties"]["inputs"]["gate"]["value"] == gate
    assert "unknown" not in kept["properties"]["inputs"]


def test_job_merges_retraining_and_file(clients: RealClients, jobs: AzureMLJobs, tmp_path: Path) -> None:
    """A job takes its name, tags and inputs from the retraining and the rest from its file."""
    document = tmp_path / "job.yml"
    document.write_text(yaml.safe_dump(train_document("in-the-file", tags={"team": "pricing"})))

    given = {"train_rows": 120, "data": "azureml://x"}
    jobs.submit("of-the-retraining", str(document), given, {RETRAINING_TAG: "r-1"}, soon())

    kept = next(job for job in clients.azure.cloud.store.list("job") if job["name"] == "of-the-retraining")
    inputs = kept["properties"]["inputs"]
    assert kept["properties"]["tags"] == {"team": "pricing", RETRAINING_TAG: "r-1"}
    assert inputs["train_rows"]["value"] == "120"
    assert (inputs["data"]["jobInputType"], inputs["data"]["uri"]) == ("uri_file", "azureml://x")
    assert jobs.get("in-the-file") is None


@pytest.mark.parametrize("text", ["just a text", "[1, 2]", "type: no-such-type"])
def test_non_job_file_is_invalid_policy(jobs: AzureMLJobs, tmp_path: Path, text: str) -> None:
    """A file that holds no Azure ML job raises `InvalidPolicy`."""
    document = tmp_path / "job.yml"
    document.write_text(text)

    with pytest.raises(InvalidPolicy, match="not an Azure ML job"):
        jobs.submit("job-1", str(document), {}, {}, soon())


def test_missing_file_is_invalid_policy(jobs: AzureMLJobs, tmp_path: Path) -> None:
    """A job file that is missing raises `InvalidPolicy`."""
    with pytest.raises(InvalidPolicy, match=r"nothing\.yml"):
        jobs.submit("job-1", str(tmp_path / "nothing.yml"), {}, {}, soon())


def test_registered_model_keeps_type_and_description(clients: RealClients) -> None:
    """A registered model keeps its type and its description."""
    registry = AzureMLRegistry(lambda: clients.ml)

    registry.register(ModelVersion("price", "1", {}, "azureml://jobs/j/outputs/model"), "custom_model", "why")

    model = clients.ml.models.get("price", "1")
    assert (model.type, model.description) == ("custom_model", "why")


def test_unknown_model_source_is_refused(clients: RealClients) -> None:
    """A model whose source path makes no sense is refused."""
    with pytest.raises(AzureRefused):
        AzureMLRegistry(lambda: clients.ml).register(
            ModelVersion("price", "2", {}, "azureml://nonsense"), "mlflow_model", "why"
        )


def stands_still_after_its_first_look() -> Callable[[], datetime]:
    """The clock of a process that is suspended for an hour once it has begun."""
    now = datetime.now(UTC)
    return chain([now], repeat(now + timedelta(hours=1))).__next__


def test_late_registration_makes_no_version(clients: RealClients) -> None:
    """A registration that is late creates no model version."""
    version = ModelVersion("late", "1", {"stage": "production"}, "azureml://jobs/nobodys/outputs/model")

    with pytest.raises(AzureUnavailable, match="too late"):
        AzureMLRegistry(lambda: clients.ml, stands_still_after_its_first_look()).register(version, "custom_model", "")

    assert AzureMLRegistry(lambda: clients.ml).get("late", "1") is None


def test_late_tag_write_changes_nothing(clients: RealClients) -> None:
    """A tag write that is late raises `AzureUnavailable` and leaves the tags as they are."""
    registry = AzureMLRegistry(lambda: clients.ml)
    version = ModelVersion("tagged", "1", {"stage": "production"}, "azureml://jobs/nobodys/outputs/model")
    registry.register(version, "custom_model", "")

    with pytest.raises(AzureUnavailable, match="too late"):
        AzureMLRegistry(lambda: clients.ml, stands_still_after_its_first_look()).set_tags("tagged", "1", {"a": "b"})

    found = registry.get("tagged", "1")
    assert found is not None
    assert found.tags == {"stage": "production"}
