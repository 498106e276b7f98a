"""From the text of policy files to policies, or to a list of problems a person can act on.

Each problem reads `file:line: path: offender; allowed values`, and all problems of a file are found at once. One file
may hold one policy, or many models that share the part beside `models`; `default.yaml` lies under them all.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from anew.core.policies.places import Path, Place, Placed, Problem, in_order, overlay
from anew.core.policies.policy import POLICY_ADAPTER, Policy
from anew.core.policies.wording import MOST_PROBLEMS, problems_of, shown
from anew.core.policies.yaml_reader import read_yaml
from anew.errors import InvalidPolicy

SCHEMA_ID = "urn:anew:policy:v1"
MODELS = "models"
MOST_VALUES = 500_000  # of all models of a file together


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy with the places of its parts, for checks that need more than the text."""

    policy: Policy
    placed: Placed

    def problem(self, path: Path, message: str) -> str:
        """A problem at this path, worded as the parser words its own."""
        return str(self.placed.problem(path, message))


def parse_policy(text: str, source: str) -> Policy:
    """The one policy a YAML text holds. Raises InvalidPolicy with every problem, each starting with `source:line`."""
    policies = read_policies(text, source)
    if len(policies) != 1:
        raise InvalidPolicy((f"{source}:1: holds {len(policies)} policies, and one is expected",))
    return policies[0].policy


def read_policies(text: str, source: str, defaults: Placed | None = None) -> tuple[PolicyText, ...]:
    """The policies of a file, each laid over the defaults. Raises InvalidPolicy with the problems of all of them (of
    very many, the first).
    """
    file, problems = read_yaml(text, source)
    known = tuple(problems)
    if file is not None and (refusal := _unusable_models(file, defaults)):
        problems.append(file.problem((MODELS,), refusal))
        file = None
    found: list[PolicyText] = []
    for layer in _per_model(file) if file is not None else ():
        whole = layer if defaults is None else overlay(defaults, layer)
        try:
            policy = POLICY_ADAPTER.validate_json(json.dumps(whole.plain()), strict=True, by_alias=True, by_name=False)
            found.append(PolicyText(policy, whole))
        except ValidationError as error:
            problems += problems_of(error, whole, known)
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise InvalidPolicy(in_order(problems))
    return tuple(found)


def read_defaults(text: str, source: str) -> Placed:
    """The layer under every policy of a folder. Its values are checked with each policy that inherits them. Raises
    InvalidPolicy for a text that is no mapping, or that names a model.
    """
    defaults, problems = read_yaml(text, source)
    if defaults is not None and not isinstance(defaults.data, dict):
        problems.append(Problem(Place(source, 1), "must be a mapping"))
    elif defaults is not None:
        own = [name for name in ("model", MODELS, "monitors") if defaults.get(name)]
        problems += [defaults.problem((name,), "is for one model; defaults are for all") for name in own]
    if defaults is None or problems:
        raise InvalidPolicy(in_order(problems))
    return defaults


def policy_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a policy file, for editors. Parts that a file lacks may be in `default.yaml`."""
    schema = Policy.model_json_schema(by_alias=True)
    properties = dict(schema["properties"])
    one_model = {"type": "object", "required": ["model"], "properties": properties, "additionalProperties": False}
    schema["$defs"]["ModelOverrides"] = one_model
    models = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/ModelOverrides"}}
    models["description"] = "Many models in one file; each may override what stands beside."
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    whole = {"properties": {**properties, MODELS: models}, "required": ["apiVersion"], "title": "anew policy"}
    return {**head, **schema, **whole}


def schema_text() -> str:
    """The schema as the text of `policy.schema.json`."""
    return json.dumps(policy_schema(), indent=2) + "\n"


def _unusable_models(file: Placed, defaults: Placed | None) -> str | None:
    """Why there cannot be a policy for each of the file's models. Each of them repeats the values they share."""
    if (models := file.get(MODELS)) is None:
        return None
    if not isinstance(models.data, list) or not models.data:
        return f"must be a list of at least one model, not {shown(models.plain())}"
    count = len(models.plain())
    values = count * (_size(file) - _size(models) + (_size(defaults) if defaults else 0))
    return None if values <= MOST_VALUES else f"{count} models share {values} values; split the file"


def _size(value: Placed) -> int:
    below = value.data.values() if isinstance(value.data, dict) else value.data if isinstance(value.data, list) else ()
    return 1 + sum(map(_size, below))


def _per_model(file: Placed) -> Iterator[Placed]:
    """A file's models, each laid over the part beside `models`."""
    if (models := file.get(MODELS)) is None:
        yield file
        return
    shared = Placed({key: value for key, value in file.data.items() if key != MODELS}, file.place)
    for model in models.data:
        yield overlay(shared, model)
