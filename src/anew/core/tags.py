"""Tags: which deploy rule a model version's tags match, the name of its deployment, and where it came from."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from anew.core.gate import GateResult
from anew.core.policy import LINEAGE_PREFIX, Policy

EVALUATION_TAG = f"{LINEAGE_PREFIX}evaluation"
RETRAINING_TAG = f"{LINEAGE_PREFIX}retraining_id"
MAX_DEPLOYMENT_NAME = 32
_HASH_LENGTH = 9  # 'h' and 32 bits in hexadecimal
_PLAIN_MODEL = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_PLAIN_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)
_ASSET_PATH = re.compile(r"/models/(?P<name>[^/:]+)/versions/(?P<version>[^/:]+)/?$", re.IGNORECASE)
_SHORT_REFERENCE = re.compile(r"azureml:(?P<name>[^/:]+):(?P<version>[^/:]+)", re.IGNORECASE)
_NOT_ALLOWED = re.compile(r"[^a-z0-9]+", re.ASCII)


def matching_rule(policy: Policy, tags: Mapping[str, str]) -> int | None:
    """The index of the first deploy rule all of whose tags these tags have with exactly that value, or None."""
    for index, rule in enumerate(policy.deploy):
        if all(tags.get(name) == value for name, value in rule.match.items()):
            return index
    return None


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


def registration_tags(
    policy: Policy,
    *,
    retraining_id: str,
    decision_id: str,
    training_run: str,
    external_run: str = "",
    evaluation_run: str = "",
    parent_version: str = "",
    data_hash: str = "",
    gate: GateResult | None = None,
) -> dict[str, str]:
    """The tags of a new model version: the policy's own, and its lineage under names starting with `anew_`.

    `training_run` is the Azure ML job, `external_run` the Data Factory run around it, `parent_version` the champion it
    was compared with, `data_hash` that of the training rows. Lineage nobody knows (empty) has no tag.
    """
    lineage = {
        RETRAINING_TAG: retraining_id,
        f"{LINEAGE_PREFIX}decision_id": decision_id,
        f"{LINEAGE_PREFIX}training_run": training_run,
        f"{LINEAGE_PREFIX}external_run": external_run,
        f"{LINEAGE_PREFIX}evaluation_run": evaluation_run,
        f"{LINEAGE_PREFIX}parent_version": parent_version,
        f"{LINEAGE_PREFIX}training_data": data_hash,
        **(_measured(gate) if gate else {}),
    }
    return {**policy.register_.tags, **{name: value for name, value in lineage.items() if value}}


def _measured(gate: GateResult) -> dict[str, str]:
    return {
        f"{LINEAGE_PREFIX}gate": str(gate.outcome),
        f"{LINEAGE_PREFIX}accuracy": _share(gate.accuracy_challenger),
        f"{LINEAGE_PREFIX}champion_accuracy": _share(gate.accuracy_champion),
        f"{LINEAGE_PREFIX}evaluation_rows": str(gate.rows or ""),
        f"{LINEAGE_PREFIX}evaluation_data": gate.data_hash,
    }


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.6f}"


# --- versions ---------------------------------------------------------------------------------------------


def version_order(version: str) -> tuple[int, int, str]:
    """Sorts versions from old to new: numbers by value, and texts, whose age nobody can tell, before all numbers."""
    return (1, int(version), "") if _PLAIN_VERSION.fullmatch(version) else (0, 0, version)


def is_newer(version: str, other: str) -> bool:
    """Whether version comes after other."""
    return version_order(version) > version_order(other)


def next_version(versions: Iterable[str]) -> str:
    """The number after the highest one; versions that are not numbers do not count."""
    return str(max((version_order(version)[1] for version in versions), default=0) + 1)


def model_of_reference(reference: str) -> str | None:
    """`model:version` of the ways Azure refers to a model (`azureml:name:version`, an ARM id, an `azureml://` URI), or
    None for anything else, such as a path.
    """
    if match := _ASSET_PATH.search(reference) or _SHORT_REFERENCE.fullmatch(reference):
        return f"{match['name']}:{match['version']}"
    return None
