"""The name of a version's deployment, and the model version that a reference of Azure names."""

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
    """The deployment's name for this model version: the same each time, and another for every other version.

    Azure allows 3 to 32 letters, digits and hyphens, the first a letter. A name that does not fit as it is gets cut
    and ends in a hash; as the hash starts with a letter and plain names end in a number, the two never meet.
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
    """`model:version` of the ways Azure refers to a model (`azureml:name:version`, an ARM id, an `azureml://` URI), or
    None for anything else, such as a path.
    """
    if match := _ASSET_PATH.search(reference) or _SHORT_REFERENCE.fullmatch(reference):
        return f"{match['name']}:{match['version']}"
    return None
