"""From the text of a policy file to a Policy, or to a list of problems a person can act on.

Each problem reads `file:line: path: offender; allowed values`, and all problems of a file are found at once.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from anew.core.policy import POLICY_ADAPTER, Document, Policy
from anew.core.yaml_nodes import Located, Path, Problem, locate, nearest_line
from anew.errors import InvalidPolicy

SCHEMA_ID = "urn:anew:policy:v1"
_UNION_KEYS = frozenset({"when", "rule", "launcher"})  # where pydantic puts the union's tag into an error's location
_WORDS = (
    ("a valid string", "text"),
    ("an object", "a mapping"),
    ("a valid dictionary", "a mapping"),
    ("a valid array", "a list"),
    ("a valid tuple", "a list"),
    ("a valid integer", "a whole number"),
)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy with the lines its parts stand on, for checks that need more than the text."""

    policy: Policy
    source: str
    lines: Mapping[Path, int]

    def problem(self, path: Path, message: str) -> str:
        """A problem at this path, worded as the parser words its own."""
        return worded(self.source, Problem(nearest_line(self.lines, path), path, message))


def parse_policy(text: str, source: str) -> Policy:
    """The policy a YAML text holds. Raises InvalidPolicy with every problem, each starting with `source:line`."""
    return read_policy(text, source).policy


def read_policy(text: str, source: str) -> PolicyText:
    """As parse_policy, and keeps the line of every path."""
    located = locate(text)
    problems = list(located.problems)
    policy = None
    if located.lines:
        try:
            policy = POLICY_ADAPTER.validate_json(json.dumps(located.data), strict=True, by_alias=True, by_name=False)
        except ValidationError as error:
            problems += _validation_problems(error, located)
    if policy is None or problems:
        raise InvalidPolicy(tuple(worded(source, problem) for problem in _in_order(problems)))
    return PolicyText(policy, source, located.lines)


def policy_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a policy file, for editors."""
    schema = Policy.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return {**head, **schema, "title": "anew policy"}


def schema_text() -> str:
    """The schema as the text of `policy.schema.json`."""
    return json.dumps(policy_schema(), indent=2) + "\n"


def worded(source: str, problem: Problem) -> str:
    """The problem as one line: `file:line: path: message`."""
    where = path_text(problem.path)
    return (
        f"{source}:{problem.line}: {where}: {problem.message}"
        if where
        else f"{source}:{problem.line}: {problem.message}"
    )


def path_text(path: Path) -> str:
    """A path as people write it: `when.rules[0].kind`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return " ".join(text.removeprefix(".").split())


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, path_text(problem.path)))


# --- pydantic's errors ------------------------------------------------------------------------------------


def _validation_problems(error: ValidationError, located: Located) -> Iterator[Problem]:
    """Reword pydantic's errors, leaving out those that only follow from what the YAML reader already reported."""
    known = [problem.path for problem in located.problems]
    grouped: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # only because its items are wrong, and each of them has its own error
        path = _document_path(detail["loc"], located.data, missing=detail["type"] == "missing")
        if not any(_follows(detail["type"], path, other) for other in known if other):
            grouped.setdefault(path, []).append(detail)
    for path, details in grouped.items():
        yield _reworded(path, details, located)


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
        tag_may_follow = part in _UNION_KEYS or (isinstance(part, int) and path[-1:] == ["rules"])
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


def _reworded(path: Path, details: list[ErrorDetails], located: Located) -> Problem:
    detail = details[0]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            message = "is required"
        case "extra_forbidden":
            return _unknown(path[-1], _keys(path[:-1], located.data), located.line_of(path), path)
        case "union_tag_invalid":
            path = (*path, "kind")
            return _unknown(
                context["tag"],
                _quoted(context["expected_tags"]),
                located.line_of(path),
                path,
            )
        case "union_tag_not_found":
            path = (*path, "kind")
            message = f"is required; allowed: {', '.join(_kinds(path[:-1], located.data))}"
        case "literal_error":
            return _unknown(
                detail["input"],
                _quoted(context["expected"]),
                located.line_of(path),
                path,
            )
        case "value_error":
            message = str(context["error"])
        case "too_short" | "string_too_short":
            message = "must not be empty"
        case _ if len(details) > 1:
            message = f"must be text, a number, true or false, not {_shown(detail['input'])}"
        case _:
            message = _plain(detail)
    return Problem(located.line_of(path), path, message)


def _plain(detail: ErrorDetails) -> str:
    said = detail["msg"].replace("Input should be", "must be", 1).replace("String should match", "must match", 1)
    for theirs, ours in _WORDS:
        said = said.replace(theirs, ours)
    return f"{said}, not {_shown(detail['input'])}"


def _unknown(offender: object, allowed: Sequence[str], line: int, path: Path) -> Problem:
    message = f"{_shown(offender)} is not known; allowed: {', '.join(allowed)}"
    close = difflib.get_close_matches(str(offender)[:100], allowed, n=1)
    if close and len(allowed) > 1:
        message += f"; did you mean '{close[0]}'?"
    return Problem(line, path, message)


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
