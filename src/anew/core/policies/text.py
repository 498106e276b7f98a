"""From the text of policy files to policies, or to a list of problems a person can act on.

Each problem reads `file:line: path: offender; allowed values`, and all problems of a file are found at once. One file
may hold one policy, or many models that share what stands beside `models`; `default.yaml` lies under them all.
"""

import difflib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any, cast, get_args, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from anew.core.policies.layers import Layer, Located, in_order, layer_of, overlay
from anew.core.policies.policy import POLICY_ADAPTER, Document, Policy
from anew.core.policies.yaml_nodes import Path, locate
from anew.errors import InvalidPolicy

SCHEMA_ID = "urn:anew:policy:v1"
MODELS = "models"
MOST_PROBLEMS = 1000
MOST_VALUES = 500_000  # of all models of a file together
_UNION_KEYS = frozenset(
    {"when", "block_when", "rule", "launcher", "of", "over"}
)  # whose location names the union's tag
_LIST_KEYS = frozenset({"rules", "sources", "freeze"})  # the same for the items of these
_WORDS = (
    ("a valid string", "text"),
    ("an object", "a mapping"),
    ("a valid dictionary", "a mapping"),
    ("a valid array", "a list"),
    ("a valid tuple", "a list"),
    ("a valid integer", "a whole number"),
)


class PolicyText:
    """A policy with the places its parts stand at, for checks that need more than the text."""

    def __init__(self, policy: Policy, layer: Layer) -> None:
        self.policy = policy
        self._layer = layer

    def problem(self, path: Path, message: str) -> str:
        """A problem at this path, worded as the parser words its own."""
        return str(self._layer.located(path, message))


def parse_policy(text: str, source: str) -> Policy:
    """The one policy a YAML text holds. Raises InvalidPolicy with every problem, each starting with `source:line`."""
    policies = read_policies(text, source)
    if len(policies) != 1:
        raise InvalidPolicy((f"{source}:1: holds {len(policies)} policies, and one is expected",))
    return policies[0].policy


def read_policies(text: str, source: str, defaults: Layer | None = None) -> tuple[PolicyText, ...]:
    """The policies of a file, each laid over the defaults. Raises InvalidPolicy with the problems of all of them (of
    very many, the first).
    """
    file, problems = _located(text, source)
    if file is not None and (refusal := _unusable_models(file, defaults)):
        problems.append(file.located((MODELS,), refusal))
        file = None
    found: list[PolicyText] = []
    for layer in _per_model(file) if file is not None else ():
        whole = layer if defaults is None else overlay(defaults, layer)
        try:
            found.append(PolicyText(_validated(whole), whole))
        except ValidationError as error:
            problems += _validation_problems(error, whole)
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise InvalidPolicy(in_order(problems))
    return tuple(found)


def read_defaults(text: str, source: str) -> Layer:
    """What lies under every policy of a folder. Its values are checked with each policy that inherits them. Raises
    InvalidPolicy for a text that is no mapping, or that names a model.
    """
    layer, problems = _located(text, source)
    if layer is not None and not isinstance(layer.data, dict):
        problems.append(Located(source, 1, (), "must be a mapping"))
    elif layer is not None:
        own = sorted({"model", "monitors", MODELS} & cast("dict[str, Any]", layer.data).keys())
        problems += [layer.located((name,), "is for one model; defaults are for all") for name in own]
    if layer is None or problems:
        raise InvalidPolicy(in_order(problems))
    return layer


def policy_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a policy file, for editors. What a file lacks may come from `default.yaml`."""
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


def _located(text: str, source: str) -> tuple[Layer | None, list[Located]]:
    located = locate(text)
    layer = layer_of(located.data, located.lines, source, tuple(problem.path for problem in located.problems))
    problems = [Located(source, problem.line, problem.path, problem.message) for problem in located.problems]
    return (layer if located.lines else None), problems


def _unusable_models(file: Layer, defaults: Layer | None) -> str | None:
    """Why a policy for each of the file's models cannot be made, if it has any. What they share is multiplied."""
    if not _has(file.data, MODELS):
        return None
    models = file.data[MODELS]
    if not isinstance(models, list) or not models:
        return f"must be a list of at least one model, not {_shown(models)}"
    count = len(cast("list[Any]", models))
    values = count * (len(file.without(MODELS).origins) + (len(defaults.origins) if defaults else 0))
    return None if values <= MOST_VALUES else f"{count} models share {values} values; split the file"


def _per_model(file: Layer) -> Iterator[Layer]:
    """The layers of a file's models: what stands beside `models`, with each of its items laid over."""
    if not _has(file.data, MODELS):
        yield file
        return
    shared = file.without(MODELS)
    for model in file.below((MODELS,)).items():
        yield overlay(shared, model)


def _validated(layer: Layer) -> Policy:
    return POLICY_ADAPTER.validate_json(json.dumps(layer.data), strict=True, by_alias=True, by_name=False)


# --- pydantic's errors ------------------------------------------------------------------------------------


def _validation_problems(error: ValidationError, layer: Layer) -> Iterator[Located]:
    """Reword pydantic's errors, leaving out those that only follow from what the YAML reader already reported."""
    grouped: dict[Path, list[ErrorDetails]] = {}
    for detail in islice(error.errors(include_url=False), MOST_PROBLEMS):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # only because its items are wrong, and each of them has its own error
        path = _document_path(detail["loc"], layer.data, missing=detail["type"] == "missing")
        if not any(_follows(detail["type"], path, hole) for hole in layer.holes if hole):
            grouped.setdefault(path, []).append(detail)
    for path, details in grouped.items():
        yield layer.located(*_reworded(path, details, layer.data))


def _follows(kind: str, path: Path, known: Path) -> bool:
    """Whether an error is at or below a known problem, or is a check of the whole that the problem fell out of."""
    return path[: len(known)] == known or (kind == "value_error" and known[: len(path)] == path)


def _document_path(loc: Sequence[str | int], data: Any, *, missing: bool) -> Path:
    """The path in the document. A loc also names union tags and, last, members of plain unions: both are left out."""
    path: list[str | int] = []
    tag_may_follow = False
    for part in loc:
        if tag_may_follow and part == _child(data, "kind"):
            tag_may_follow = False
            continue
        tag_may_follow = part in _UNION_KEYS or (isinstance(part, int) and bool(path) and path[-1] in _LIST_KEYS)
        if not missing and not _has(data, part):
            break
        path.append(part)
        data = _child(data, part)
    return tuple(path)


def _has(data: Any, part: str | int) -> bool:
    return part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)


def _child(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _reworded(path: Path, details: list[ErrorDetails], data: Any) -> tuple[Path, str]:
    detail = details[0]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            message = "is required"
        case "extra_forbidden":
            message = _unknown(path[-1], _keys(path[:-1], data))
        case "union_tag_invalid":
            path = (*path, "kind")
            message = _unknown(context["tag"], _quoted(context["expected_tags"]))
        case "union_tag_not_found":
            message = f"is required; allowed: {', '.join(_kinds(path, data))}"
            path = (*path, "kind")
        case "literal_error":
            message = _unknown(detail["input"], _quoted(context["expected"]))
        case "value_error":
            message = str(context["error"])
        case "too_short" | "string_too_short":
            message = "must not be empty"
        case _ if len(details) > 1:
            message = f"must be text, a number, true or false, not {_shown(detail['input'])}"
        case _:
            message = _plain(detail)
    return path, message


def _plain(detail: ErrorDetails) -> str:
    said = detail["msg"].replace("Input should be", "must be", 1).replace("String should match", "must match", 1)
    for theirs, ours in _WORDS:
        said = said.replace(theirs, ours)
    return f"{said}, not {_shown(detail['input'])}"


def _unknown(offender: object, allowed: Sequence[str]) -> str:
    message = f"{_shown(offender)} is not known; allowed: {', '.join(allowed)}"
    close = difflib.get_close_matches(str(offender)[:100], allowed, n=1)
    return f"{message}; did you mean '{close[0]}'?" if close and len(allowed) > 1 else message


def _shown(value: object) -> str:
    text = "nothing" if value is None else "a mapping" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _quoted(expected: object) -> list[str]:
    return [part.strip().strip("'") for part in str(expected).replace(" or ", ", ").split(",")]


# --- which keys may stand where ---------------------------------------------------------------------------


def _keys(path: Path, data: Any) -> list[str]:
    """The keys the mapping at this path may have."""
    candidates, here = _candidates(path, data)
    return list(_names(_of_kind(candidates, here))) if candidates else []


def _kinds(path: Path, data: Any) -> list[str]:
    """The values `kind` may have in the mapping at this path."""
    candidates, _ = _candidates(path, data)
    return [kind for candidate in candidates for kind in get_args(candidate.model_fields["kind"].annotation)]


def _candidates(path: Path, data: Any) -> tuple[tuple[type[Document], ...], Any]:
    """The document types this path may hold, and the data there. List indexes keep the types of their list."""
    candidates: tuple[type[Document], ...] = (Policy,)
    for part in path:
        if isinstance(part, str):
            candidates = _documents_at(_of_kind(candidates, data), part) if candidates else ()
        data = _child(data, part)
    return candidates, data


def _of_kind(candidates: tuple[type[Document], ...], data: Any) -> type[Document]:
    kind = _child(data, "kind")
    for candidate in candidates:
        if "kind" in candidate.model_fields and kind in get_args(candidate.model_fields["kind"].annotation):
            return candidate
    return candidates[0]


@cache
def _documents_at(model: type[Document], key: str) -> tuple[type[Document], ...]:
    hints = get_type_hints(model, include_extras=True)
    name = _names(model).get(key)
    return tuple(_flat(hints[name])) if name else ()


def _names(model: type[Document]) -> dict[str, str]:
    """Field names by the key they have in a file."""
    return {info.alias or name: name for name, info in model.model_fields.items()}


def _flat(annotation: Any) -> Iterator[type[Document]]:
    if isinstance(annotation, type) and issubclass(annotation, Document):
        yield annotation
    for argument in get_args(annotation):
        yield from _flat(argument)
