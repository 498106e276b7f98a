"""How Azure ML names data, models and job outputs."""

import pytest

from anew.emulator.base.uris import DatastorePath, JobOutput, VersionedName, parse_uri, parse_versioned

WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("azureml://datastores/blob/paths/a/b.parquet", DatastorePath("blob", "a/b.parquet")),
        (
            "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/blob/paths/a/",
            DatastorePath("blob", "a"),
        ),
        (
            f"azureml:/{WORKSPACE}/datastores/blob/paths/a",
            DatastorePath("blob", "a"),
        ),
        ("azureml://jobs/train-1/outputs/model", JobOutput("train-1", "model")),
        ("azureml://jobs/train-1/outputs/model/paths/sub/x", JobOutput("train-1", "model", "sub/x")),
        ("azureml://jobs/train-1/outputs/artifacts/paths/model/", JobOutput("train-1", "model")),
        ("azureml:fraud:3", VersionedName("fraud", "3")),
        ("fraud:3", VersionedName("fraud", "3")),
        (f"{WORKSPACE}/models/fraud/versions/3", VersionedName("fraud", "3")),
        (f"azureml:{WORKSPACE}/models/fraud/versions/3", VersionedName("fraud", "3")),
    ],
)
def test_uri_is_read_as_what_it_names(uri: str, expected: object) -> None:
    assert parse_uri(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/data.csv",
        "azureml://datastores/blob/paths/../../secret",
        "azureml://datastores/../paths/a",
        "azureml://jobs/../outputs/model",
        "azureml:fraud",
        "",
    ],
)
def test_uri_that_names_nothing_safe_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"neither|leaves"):
        parse_uri(uri)


def test_environment_id_is_read_as_name_and_version() -> None:
    assert str(parse_versioned(f"{WORKSPACE}/environments/anew-samples/versions/1")) == "anew-samples:1"
