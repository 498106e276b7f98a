"""The paths on local Azure's disk of the data, models and outputs that Azure ML URIs name."""

from pathlib import Path
from typing import Final

from anew.emulator.base.cloud import Cloud
from anew.emulator.base.uris import DatastorePath, JobOutput, parse_uri
from anew.emulator.machine_learning.runs import run_folder

MODEL_KIND: Final = "model"


class AssetError(ValueError):
    """A URI names an asset that does not exist here."""


def model_key(workspace_id: str, name: str, version: str) -> str:
    """The ARM id of a model version: the key of its document."""
    return f"{workspace_id}/models/{name}/versions/{version}"


def local_path(cloud: Cloud, workspace_id: str, uri: str) -> Path:
    """The file or folder behind a datastore path, a job output or a registered model; it need not exist yet.

    Raises:
        AssetError: the URI cannot be read, or it names a model that is not registered.
    """
    try:
        asset = parse_uri(uri)
    except ValueError as error:
        raise AssetError(str(error)) from error
    match asset:
        case DatastorePath(store, path):
            return cloud.folder / "datastores" / store / path
        case JobOutput(job, output, path):
            return output_folder(cloud, job, output) / path
        case model:
            registered = cloud.store.get(MODEL_KIND, model_key(workspace_id, model.name, model.version))
            if registered is None:
                raise AssetError(f"the model {model} is not registered")
            return local_path(cloud, workspace_id, registered["properties"]["modelUri"])


def existing_path(cloud: Cloud, workspace_id: str, uri: str) -> Path:
    """Like local_path, for something that must be there.

    Raises:
        AssetError: nothing is there.
    """
    path = local_path(cloud, workspace_id, uri)
    if not path.exists():
        raise AssetError(f"there is nothing at {uri}")
    return path


def output_folder(cloud: Cloud, job: str, output: str) -> Path:
    """Where a job writes one of its named outputs."""
    return run_folder(cloud, job) / "outputs" / output
