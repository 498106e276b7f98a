"""Names: of the deployment of a model version, and of the model version in a reference. Pure."""

import hashlib
import re

MAX_DEPLOYMENT_NAME = 32
_HASH_LENGTH = 9  # 'h' and 32 bits in hexadecimal
_PLAIN_MODEL = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_PLAIN_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)
_ASSET_PATH = re.compile(r"/models/(?P<name>[^/:]+)/versions/(?P<version>[^/:]+)/?$", re.IGNORECASE)
_SHORT_REFERENCE = re.compile(r"azureml:(?P<name>[^/:]+):(?P<version>[^/:]+)", re.IGNORECASE)
_NOT_ALLOWED = re.compile(r"[^a-z0-9]+", re.ASCII)


def deployment_name(model: str, version: str) -> str:
    """The name of the deployment of this model version: always the same, and different for every other version.

    Azure allows 3 to 32 letters, digits and hyphens, beginning with a letter. A name that does not fit is cut and ends
    in a hash that begins with `h`; a name that fits ends in a number, so the two are never equal.
    """
    plain = f"{model}-{version}"
    if len(plain) <= MAX_DEPLOYMENT_NAME and _PLAIN_MODEL.fullmatch(model) and _PLAIN_VERSION.fullmatch(version):
        return plain
    digest = hashlib.sha256(f"{len(model)}:{model}:{version}".encode("utf-8", "surrogatepass")).hexdigest()
    readable = _NOT_ALLOWED.sub("-", plain.lower()).strip("-")
    readable = readable if readable[:1].isalpha() else f"m-{readable}"
    kept = readable[: MAX_DEPLOYMENT_NAME - 1 - _HASH_LENGTH].rstrip("-")
    return f"{kept}-h{digest[: _HASH_LENGTH - 1]}"


def model_of_reference(reference: str) -> str | None:
    """`model:version` from a reference of Azure to a model (`azureml:name:version`, an ARM id, an `azureml://` URI);
    None for any other text, such as a path.
    """
    if match := _ASSET_PATH.search(reference) or _SHORT_REFERENCE.fullmatch(reference):
        return f"{match['name']}:{match['version']}"
    return None


def version_of(reference: str | None, model: str) -> str | None:
    """The version in `model:version` when it is a version of this model: an endpoint may serve another model."""
    name, _, version = (reference or "").partition(":")
    return version or None if name.casefold() == model.casefold() else None
