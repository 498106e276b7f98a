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
def test_uri_is_parsed(uri: str, expected: object) -> None:
    """Every documented form of a URI is parsed to the data, job output or version that it names."""
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
def test_unsafe_uri_is_refused(uri: str) -> None:
    """A URI that is unknown or leaves its folder is refused."""
    with pytest.raises(ValueError, match=r"neither|leaves"):
        parse_uri(uri)


def test_environment_id_is_parsed() -> None:
    """The id of an environment is parsed to its name and version."""
    assert str(parse_versioned(f"{WORKSPACE}/environments/anew-samples/versions/1")) == "anew-samples:1"
