"""pydantic's errors about a policy, as problems that name the place, the offender and the allowed values."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from anew.core.base.document import Document
from anew.core.policies.places import Path, Placed, Problem
from anew.core.policies.policy import Policy

MOST_PROBLEMS = 1000
_WORDS = (
    ("Input should be", "must be"),
    ("String should match", "must match"),
    ("a valid string", "text"),
    ("an object", "a mapping"),
    ("a valid dictionary", "a mapping"),
    ("a valid array", "a list"),
    ("a valid tuple", "a list"),
    ("a valid integer", "a whole number"),
)


class _Position(NamedTuple):
    """A path in a policy, the value there, and the documents the language allows there (in a list: for its items).

    `keyed` for a mapping whose keys are the user's own, with such documents as values.
    """

    path: Path
    value: Placed | None
    documents: tuple[type[Document], ...]
    keyed: bool = False

    @property
    def kind(self) -> Any:
        """The value of the key `kind`."""
        kind = self.value and self.value.get("kind")
        return kind and kind.plain()

    @property
    def keys(self) -> Mapping[str, Any]:
        """The keys that the document here may have, with their types; which document it is depends on its `kind`."""
        of_kind = [each for each in self.documents if self.kind in _kinds_of(each)]
        return _types_of((*of_kind, *self.documents)[0]) if self.documents else {}

    def below(self, part: str | int) -> "_Position":
        documents, keyed = self.documents, False
        if isinstance(part, str) and not self.keyed:
            type_ = self.keys.get(part)
            documents, keyed = tuple(_documents_in(type_)), get_origin(type_) is dict
        return _Position((*self.path, part), self.value and self.value.get(part), documents, keyed)


def problems_of(error: ValidationError, policy: Placed, known: Sequence[Problem]) -> Iterator[Problem]:
    """The errors as problems, without those that only follow from the known ones, which the YAML reader reported."""
    grouped: dict[Path, tuple[list[_Position], list[ErrorDetails]]] = {}
    for detail in islice(error.errors(include_url=False), MOST_PROBLEMS):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # only because its items are wrong, and each of them has its own error
        way = _way_to(detail["loc"], policy, missing=detail["type"] == "missing")
        path = policy.problem(way[-1].path, "").place.path
        if not any(_follows(detail["type"], path, each.place.path) for each in known):
            grouped.setdefault(way[-1].path, (way, []))[1].append(detail)
    for way, details in grouped.values():
        tail = ("kind",) if details[0]["type"] in ("union_tag_invalid", "union_tag_not_found") else ()
        yield policy.problem((*way[-1].path, *tail), _message(way, details))


def _follows(error: str, path: Path, known: Path) -> bool:
    """Whether an error is at or below a known problem, or checks a whole of which the known problem is a part."""
    return bool(known) and (path[: len(known)] == known or (error == "value_error" and known[: len(path)] == path))


def _way_to(loc: Sequence[str | int], policy: Placed, *, missing: bool) -> list[_Position]:
    """The positions from the policy to the error, without the tags and members of unions that its loc names too."""
    way, tag_may_follow = [_Position((), policy, (Policy,))], False
    for index, part in enumerate(loc):
        at = way[-1]
        if tag_may_follow and part == at.kind:
            tag_may_follow = False
        elif (at.value and at.value.get(part)) or (missing and index == len(loc) - 1):
            way.append(at.below(part))
            tag_may_follow = len(way[-1].documents) > 1
    return way


def _message(way: Sequence[_Position], details: Sequence[ErrorDetails]) -> str:
    detail, at = details[0], way[-1]
    context, given = detail.get("ctx", {}), detail["input"]
    match detail["type"]:
        case "missing":
            message = "is required"
        case "extra_forbidden":
            message = _unknown(at.path[-1], list(way[-2].keys))
        case "union_tag_invalid":
            message = _unknown(context["tag"], _quoted(context["expected_tags"]))
        case "union_tag_not_found":
            message = f"is required; allowed: {', '.join(kind for each in at.documents for kind in _kinds_of(each))}"
        case "literal_error":
            message = _unknown(given, _quoted(context["expected"]))
        case "value_error":
            message = str(context["error"])
        case "too_short" | "string_too_short":
            message = "must not be empty"
        case _ if len(details) > 1:
            message = f"must be text, a number, true or false, not {shown(given)}"
        case _:
            said = detail["msg"]
            for theirs, ours in _WORDS:
                said = said.replace(theirs, ours)
            message = f"{said}, not {shown(given)}"
    return message


def _unknown(offender: object, allowed: Sequence[str]) -> str:
    message = f"{shown(offender)} is not known; allowed: {', '.join(allowed)}"
    close = difflib.get_close_matches(str(offender)[:100], allowed, n=1)
    return f"{message}; did you mean '{close[0]}'?" if close and len(allowed) > 1 else message


def shown(value: object) -> str:
    """A value as a message shows it, at most 60 characters."""
    text = "nothing" if value is None else "a mapping" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _quoted(expected: object) -> list[str]:
    return [part.strip().strip("'") for part in str(expected).replace(" or ", ", ").split(",")]


@cache
def _types_of(document: type[Document]) -> dict[str, Any]:
    """The type of each key that this document may have in a file."""
    hints = get_type_hints(document, include_extras=True)
    return {info.alias or name: hints[name] for name, info in document.model_fields.items()}


def _kinds_of(document: type[Document]) -> tuple[str, ...]:
    return get_args(_types_of(document).get("kind"))


def _documents_in(type_: Any) -> Iterator[type[Document]]:
    if isinstance(type_, type) and issubclass(type_, Document):
        yield type_
    for argument in get_args(type_):
        yield from _documents_in(argument)
