"""YAML text as plain JSON-like data plus the line of every path: what an error message needs and a loader loses.

Reading is defensive, since a policy may come from a pull request: no tags, no aliases, no merge keys, bounded
depth and size, no duplicate keys, no numbers that are not finite.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

MAX_CHARACTERS: Final = 1_000_000
MAX_EVENTS: Final = 50_000
MAX_DEPTH: Final = 40
MAX_NUMBER: Final = 100  # characters

_CORE = "tag:yaml.org,2002:"
_AS_TEXT = frozenset({_CORE + "str", _CORE + "timestamp", _CORE + "value"})  # a date stays the text it was written as
_UNUSABLE: Final = object()
_LOADER: Final[Any] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document; line counts from 1, path is empty when the text is not YAML at all."""

    line: int
    path: Path
    message: str


@dataclass(slots=True)
class Located:
    """A document's data, the line of each path, and what was wrong. With problems, the data has holes."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict[Path, int])
    problems: list[Problem] = field(default_factory=list[Problem])


def locate(text: str) -> Located:
    """The single YAML document in the text. Never raises: what is wrong is in `problems`."""
    refusal = _unreadable(text)
    if refusal is None:
        try:
            refusal = _unsafe(text)
            root = None if refusal else yaml.compose(text, Loader=_LOADER)
        except yaml.YAMLError as error:
            refusal, root = _syntax(error), None
        if root is not None:
            return _Reader().read(root)
    return Located(problems=[refusal or Problem(1, (), "the file is empty")])


def _unreadable(text: str) -> Problem | None:
    if len(text) > MAX_CHARACTERS:
        return Problem(1, (), f"longer than {MAX_CHARACTERS} characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return Problem(text.count("\n", 0, error.start) + 1, (), "not valid Unicode text")
    return None


def _unsafe(text: str) -> Problem | None:
    """Look at the flat stream of events first: composing recurses, so it must not meet a bottomless document."""
    depth = documents = 0
    for count, event in enumerate(_events(text)):
        line = event.start_mark.line + 1
        match event:
            case yaml.AliasEvent():
                return Problem(
                    line,
                    (),
                    f"alias '*{event.anchor}': aliases are not allowed; write the value out",
                )
            case yaml.CollectionStartEvent():
                depth += 1
            case yaml.CollectionEndEvent():
                depth -= 1
            case yaml.DocumentStartEvent():
                documents += 1
            case _:
                pass
        if documents > 1:
            return Problem(line, (), "a second document starts here; one file holds one policy")
        if depth > MAX_DEPTH or count > MAX_EVENTS:
            limit = f"nested deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_EVENTS} values"
            return Problem(line, (), limit)
    return None


def _events(text: str) -> Iterator[Any]:
    parse: Any = yaml.parse
    return parse(text, Loader=_LOADER)


def _syntax(error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return Problem(mark.line + 1 if mark else 1, (), f"not valid YAML: {said}")
    return Problem(1, (), f"not valid YAML: {' '.join(str(error).split())}")


class _Reader:
    """Walks composed nodes; a fresh one for each document."""

    def __init__(self) -> None:
        self._out = Located()
        self._resolver = Resolver()
        self._constructor = SafeConstructor()

    def read(self, root: yaml.Node) -> Located:
        self._out.lines[()] = root.start_mark.line + 1
        self._out.data = self._value(root, ())
        return self._out

    def _problem(self, node: yaml.Node, path: Path, message: str) -> None:
        self._out.problems.append(Problem(node.start_mark.line + 1, path, message))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        match node:
            case yaml.MappingNode() if node.tag == _CORE + "map":
                return self._mapping(node, path)
            case yaml.SequenceNode() if node.tag == _CORE + "seq":
                return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return self._scalar(node, path)
            case _:
                return self._refuse_tag(node, path)

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self._out.lines[path] = node.start_mark.line + 1
        return self._value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            below = (*path, key)
            if key in data:
                first = self._out.lines[below]
                self._problem(key_node, below, f"given twice, first on line {first}")
                continue
            self._out.lines[below] = key_node.start_mark.line + 1
            data[key] = self._value(value_node, below)
        return data

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            if node.tag in _AS_TEXT:
                return str(node.value)
            if node.tag == _CORE + "merge":
                self._problem(
                    node,
                    path,
                    "merge keys ('<<') are not allowed; write the values out",
                )
            else:
                self._problem(node, path, f"the key {node.value!r} is not text; put it in quotes")
        else:
            self._problem(node, path, "a key must be text, not a list or a mapping")
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = str(node.value)
        implied: str = (
            _CORE + "str" if node.style else self._resolver.resolve(yaml.ScalarNode, text, (True, False))
        )  # a tag other than the implied one was written out by somebody
        if node.tag != implied:
            return self._refuse_tag(node, path)
        if implied in _AS_TEXT:
            return text
        try:  # a number of many digits, or of many parts like 1:30:00, takes long, or further than JSON goes
            value = self._constructor.construct_object(node) if len(text) <= MAX_NUMBER else _UNUSABLE
        except (ValueError, yaml.YAMLError):
            value = _UNUSABLE
        if value is _UNUSABLE:
            self._problem(node, path, f"{text[:40]!r} is not a number anybody can use; put text in quotes")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._problem(node, path, f"must be a finite number, not {text[:40]}")
            return None
        return value

    def _refuse_tag(self, node: yaml.Node, path: Path) -> None:
        self._problem(
            node,
            path,
            f"YAML tags such as '{node.tag.replace(_CORE, '!!')}' are not allowed",
        )
