"""The model of a deployment: the registered one that its request names, and whether it can be loaded."""

from anew.emulator.arm.protocol import ArmError, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.uris import VersionedName, parse_versioned
from anew.emulator.machine_learning.assets import MODEL_KIND, AssetError, local_path, model_key


def deployed_model(cloud: Cloud, workspace_id: str, reference: str | None) -> VersionedName:
    """The model a deployment's request refers to.

    Raises:
        ArmError: 400 without a model's name and version, 404 when it is not registered.
    """
    try:
        model = parse_versioned(reference or "")
    except ValueError as error:
        raise user_error("The deployment must name a registered model and version.") from error
    if cloud.store.get(MODEL_KIND, model_key(workspace_id, model.name, model.version)) is None:
        raise ArmError(404, "UserError", f"The model {model} was not found.", {"code": "NotFound"})
    return model


def load_failure(cloud: Cloud, workspace_id: str, model: VersionedName) -> str | None:
    """Why no model can be loaded from its path, or None when it can."""
    try:
        folder = local_path(cloud, workspace_id, str(model))
    except AssetError as error:
        return f"the model {model} cannot be loaded: {error}"
    return None if (folder / "MLmodel").is_file() else f"the model {model} cannot be loaded: it has no MLmodel file"
