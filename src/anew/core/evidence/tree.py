"""The tree that explains a decision: rules, the verdict of each, and the values it compared."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What one rule of the tree said. Unknown means there was nothing to judge by, error that judging failed:
    neither is ever a reason to retrain.
    """

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    ERROR = "error"


class Node:
    """One rule of a decision: its verdict, one sentence for a person, the values compared, and the rules below it.

    The sentence and the values may be given as functions. They are called when somebody looks, because most
    decisions are made and never read: of many thousands a second, a person reads one.
    """

    __slots__ = ("_sentence", "_values", "children", "rule", "verdict")

    def __init__(
        self,
        rule: str,
        verdict: Verdict,
        sentence: str | Callable[[], str],
        values: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        children: tuple["Node", ...] = (),
    ) -> None:
        self.rule = rule
        self.verdict = verdict
        self.children = children
        self._sentence = sentence
        self._values = values

    @property
    def sentence(self) -> str:
        """One sentence that says what was compared with what."""
        if not isinstance(self._sentence, str):
            self._sentence = self._sentence()
        return self._sentence

    @property
    def values(self) -> Mapping[str, Any]:
        """The values compared, as JSON data."""
        if self._values is None:
            self._values = {}
        elif not isinstance(self._values, Mapping):
            self._values = self._values()
        return self._values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((self.rule, self.verdict, self.sentence))

    def __repr__(self) -> str:
        return f"Node({self.rule!r}, {self.verdict!r}, {self.sentence!r}, children={self.children!r})"

    def _content(self) -> tuple[Any, ...]:
        return self.rule, self.verdict, self.sentence, dict(self.values), self.children
