"""Tags: which deploy rules a model version's tags match, the name of its deployment, and where it came from."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from anew.core.gate import GateResult
from anew.core.policy import LINEAGE_PREFIX, Policy
from anew.core.policy_deploy import Deploy, TagMatch
from anew.core.retraining_lifecycle import Answer, Retraining

EVALUATION_TAG = f"{LINEAGE_PREFIX}evaluation"
RETRAINING_TAG = f"{LINEAGE_PREFIX}retraining_id"
PARENT_TAG = f"{LINEAGE_PREFIX}parent_version"
STAGE_TAG = f"{LINEAGE_PREFIX}stage"
CANDIDATE = "candidate"
_LONGEST_VALUE = 250  # characters. Azure states no limit for tags of models; reasons of people may be of any length
MAX_DEPLOYMENT_NAME = 32
_HASH_LENGTH = 9  # 'h' and 32 bits in hexadecimal
_PLAIN_MODEL = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_PLAIN_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)
_ASSET_PATH = re.compile(r"/models/(?P<name>[^/:]+)/versions/(?P<version>[^/:]+)/?$", re.IGNORECASE)
_SHORT_REFERENCE = re.compile(r"azureml:(?P<name>[^/:]+):(?P<version>[^/:]+)", re.IGNORECASE)
_NOT_ALLOWED = re.compile(r"[^a-z0-9]+", re.ASCII)


def matching_rules(policy: Policy, tags: Mapping[str, str]) -> tuple[Deploy, ...]:
    """The deploy rules these tags match: the first one, or all when the policy deploys by all."""
    found = tuple(rule for rule in policy.deploy if matches(rule, tags))
    return found if policy.deploy_by == "all" else found[:1]


def matches(rule: Deploy, tags: Mapping[str, str]) -> bool:
    """Whether a version with these tags has every tag of the rule, with a value the rule asks for."""
    return all(name in tags and _is_as_asked(wanted, tags[name]) for name, wanted in rule.match.items())


def _is_as_asked(wanted: str | TagMatch, value: str) -> bool:
    if isinstance(wanted, str):
        return value == wanted
    if wanted.in_ is not None:
        return value in wanted.in_
    if wanted.prefix is not None:
        return value.startswith(wanted.prefix)
    return re.fullmatch(wanted.regex or "", value) is not None


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


def registration_tags(policy: Policy, retraining: Retraining) -> dict[str, str]:
    """The tags of a new model version: the policy's own, and its lineage under names starting with `anew_`. Lineage
    nobody knows has no tag, and long texts are cut.
    """
    measured = retraining.gate is not None and retraining.gate.rows > 0
    lineage = {
        STAGE_TAG: CANDIDATE,
        RETRAINING_TAG: retraining.id,
        f"{LINEAGE_PREFIX}decision_id": retraining.decision_id,
        f"{LINEAGE_PREFIX}training_run": retraining.job_name,
        f"{LINEAGE_PREFIX}external_run": retraining.external_run_id,
        f"{LINEAGE_PREFIX}training_data": retraining.training_data,
        f"{LINEAGE_PREFIX}git_commit": retraining.git_commit,
        f"{LINEAGE_PREFIX}evaluation_run": _evaluation_run(policy, retraining) if measured else None,
        PARENT_TAG: retraining.champion_version,
        **(_measured(retraining.gate) if retraining.gate else {}),
        **_answered(retraining),
    }
    lines = {name: " ".join((value or "").split()) for name, value in lineage.items()}
    kept = {name: line[:_LONGEST_VALUE].rstrip() for name, line in lines.items() if line}
    return {**policy.register_.tags, **kept}


def _evaluation_run(policy: Policy, retraining: Retraining) -> str:
    return retraining.job_name if policy.evaluate.by == "training" else retraining.evaluation_job


def _measured(gate: GateResult) -> dict[str, str]:
    return {
        f"{LINEAGE_PREFIX}gate": str(gate.outcome),
        f"{LINEAGE_PREFIX}metric": gate.metric if gate.challenger is not None else "",
        f"{LINEAGE_PREFIX}metric_value": _figure(gate.challenger),
        f"{LINEAGE_PREFIX}champion_metric_value": _figure(gate.champion),
        f"{LINEAGE_PREFIX}evaluation_rows": str(gate.rows or ""),
        f"{LINEAGE_PREFIX}evaluation_data": gate.data_hash,
    }


def _answered(retraining: Retraining) -> dict[str, str | None]:
    """Who took it past the gate, or agreed to what the gate let pass."""
    by, why = retraining.answered_by, retraining.answer_reason
    match retraining.answer:
        case Answer.FORCED:
            return {f"{LINEAGE_PREFIX}forced_by": by, f"{LINEAGE_PREFIX}forced_reason": why}
        case Answer.APPROVED:
            return {f"{LINEAGE_PREFIX}approved_by": by, f"{LINEAGE_PREFIX}approved_reason": why}
        case _:
            return {}


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


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
