"""YAML text as JSON-like data in which each value knows its line.

Reading is defensive, because a policy may come from a pull request: no tags, no aliases, no merge keys, bounded
depth and size, no duplicate keys, no numbers that are not finite.
"""

import math
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor

from anew.core.policies.places import Path, Place, Placed, Problem

MAX_CHARACTERS: Final = 1_000_000
MAX_EVENTS: Final = 50_000
MAX_DEPTH: Final = 40
MAX_NUMBER: Final = 100  # characters; long numbers, or many parts as in 1:30:00, take long and exceed JSON's range

_CORE = "tag:yaml.org,2002:"
_AS_TEXT = frozenset({_CORE + "str", _CORE + "timestamp", _CORE + "value"})  # a date stays the text it was written as
_LOADER: Final[Any] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def read_yaml(text: str, source: str) -> tuple[Placed | None, list[Problem]]:
    """The single YAML document in the text, and its problems; None if the text as a whole cannot be read.

    With problems the data have holes: a key or value that has a problem is left out, or is None.
    """
    try:
        refusal = _refusal(text)
        root = None if refusal else yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reasons = [reason for name in ("context", "problem") if (reason := getattr(error, name, None))]
        reason = ", ".join(reasons) or " ".join(str(error).split())
        refusal, root = (mark.line + 1 if mark else 1, f"not valid YAML: {reason}"), None
    if root is None:
        line, message = refusal or (1, "the file is empty")
        return None, [Problem(Place(source, line), message)]
    reader = _Reader(source)
    return reader.value(root, reader.place(root, ())), reader.problems


def _refusal(text: str) -> tuple[int, str] | None:
    """The line and reason of a text that must not be composed, which recurses and follows aliases."""
    if len(text) > MAX_CHARACTERS:
        return 1, f"longer than {MAX_CHARACTERS} characters"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return text.count("\n", 0, error.start) + 1, "not valid Unicode text"
    depth = documents = 0
    parse: Any = yaml.parse
    for count, event in enumerate(parse(text, Loader=_LOADER)):
        line = event.start_mark.line + 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if isinstance(event, yaml.AliasEvent):
            message = f"alias '*{event.anchor}': aliases are not allowed; write the value out"
        elif tag := getattr(event, "tag", None):
            message = f"YAML tags such as '{tag.replace(_CORE, '!!')}' are not allowed"
        elif documents > 1:
            message = "a second document starts here; one file holds one policy"
        elif depth > MAX_DEPTH or count > MAX_EVENTS:
            message = (
                f"nested deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_EVENTS} values"
            )
        else:
            continue
        return line, message
    return None


class _Reader:
    """Turns the composed nodes of one document into values, and collects its problems."""

    def __init__(self, source: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._constructor = SafeConstructor()

    def place(self, node: yaml.Node, path: Path) -> Place:
        return Place(self._source, node.start_mark.line + 1, path)

    def value(self, node: yaml.Node, place: Place) -> Placed:
        if isinstance(node, yaml.SequenceNode):
            places = (self.place(item, (*place.path, index)) for index, item in enumerate(node.value))
            return Placed([self.value(*each) for each in zip(node.value, places, strict=True)], place)
        if isinstance(node, yaml.MappingNode):
            return Placed(self._mapping(node, place.path), place)
        return Placed(self._scalar(node, place.path), place)

    def _refuse(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self.place(node, path), message))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Placed]:
        found: dict[str, Placed] = {}
        for key_node, value_node in node.value:
            if (key := self._key(key_node, path)) is None:
                continue
            place = self.place(key_node, (*path, key))
            if key in found:
                self._refuse(key_node, place.path, f"given twice, first on line {found[key].place.line}")
            else:
                found[key] = self.value(value_node, place)
        return found

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            return self._refuse(node, path, "a key must be text, not a list or a mapping")
        if node.tag in _AS_TEXT:
            return str(node.value)
        if node.tag == _CORE + "merge":
            return self._refuse(node, path, "merge keys ('<<') are not allowed; write the values out")
        return self._refuse(node, path, f"the key {node.value!r} is not text; put it in quotes")

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text = str(node.value)
        if node.tag in _AS_TEXT:
            return text
        try:
            value = self._constructor.construct_object(node) if len(text) <= MAX_NUMBER else Ellipsis
        except (ValueError, yaml.YAMLError):
            value = Ellipsis
        if value is Ellipsis:
            return self._refuse(node, path, f"{text[:40]!r} is not a number that can be used; put text in quotes")
        if isinstance(value, float) and not math.isfinite(value):
            return self._refuse(node, path, f"must be a finite number, not {text[:40]}")
        return value
