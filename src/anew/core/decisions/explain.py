"""One tree of reasons, shown everywhere alike: terminal lines, Markdown for an artifact, JSON for the ledger.

Names and reasons in a tree come from events and people, so every rendering takes out what could break it.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from anew.core.decisions.decision import Decision
from anew.core.evidence.tree import Node, Verdict

MARKS: Mapping[Verdict, str] = {Verdict.YES: "✓", Verdict.NO: "✗", Verdict.UNKNOWN: "?", Verdict.ERROR: "!"}
_LONGEST_NOTICE = 2000  # characters; chat services cut or refuse more

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#])")
_COLUMNS = ("metric", "feature", "value", "limit", "source", "at")


def tree_lines(node: Node) -> list[str]:
    """One line a node, drawn with box characters; no colours and no control characters."""
    return list(_lines(node, "", ""))


def to_json(node: Node) -> dict[str, Any]:
    """The tree as JSON data; every number in it is finite."""
    return {
        "rule": node.rule,
        "verdict": str(node.verdict),
        "sentence": node.sentence,
        "values": dict(node.values),
        "children": [to_json(child) for child in node.children],
    }


def from_json(data: Mapping[str, Any]) -> Node:
    """The tree that to_json gave. Raises ValueError for anything else."""
    try:
        return Node(
            rule=data["rule"],
            verdict=Verdict(data["verdict"]),
            sentence=data["sentence"],
            values=dict(data["values"]),
            children=tuple(from_json(child) for child in data["children"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a decision tree: {error!r}") from error


def to_markdown(decision: Decision) -> str:
    """The decision as Markdown: its outcome, the tree as a nested list, and a table of the values compared."""
    parts = [f"# Decision: {decision.outcome}", "\n".join(_items(decision.tree, 0))]
    if rows := [_row(compared) for compared in _compared(decision.tree)]:
        head = ("| | metric | feature | value | limit | source | at |", "|---|---|---|---|---|---|---|")
        parts += ["## Values compared", "\n".join((*head, *dict.fromkeys(rows)))]
    return "\n\n".join(parts) + "\n"


def to_notice(model: str, decision_id: str, decision: Decision) -> tuple[str, str]:
    """Title and text of a notification: the outcome, the tree, and the command that tells more."""
    text = "\n".join(tree_lines(decision.tree))
    cut = text if len(text) <= _LONGEST_NOTICE else f"{text[:_LONGEST_NOTICE]}\n..."
    return f"{model}: {decision.outcome}", f"{cut}\n\nanew explain {decision_id}"


def _lines(node: Node, first: str, rest: str) -> Iterator[str]:
    yield f"{first}{MARKS[node.verdict]} {one_line(node.rule)}: {one_line(node.sentence)}"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _items(node: Node, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}- {MARKS[node.verdict]} **{escaped(node.rule)}**: {escaped(node.sentence)}"
    for child in node.children:
        yield from _items(child, depth + 1)


def _compared(node: Node) -> Iterator[Mapping[str, Any]]:
    yield from cast("list[Mapping[str, Any]]", node.values.get("compared", []))
    for child in node.children:
        yield from _compared(child)


def _row(compared: Mapping[str, Any]) -> str:
    limit = compared.get("limit")
    shown = {**compared, "limit": None if limit is None else f"{compared.get('breach')} {limit}"}
    cells = ("" if shown.get(column) is None else escaped(str(shown[column])) for column in _COLUMNS)
    return f"| {MARKS[Verdict(compared['verdict'])]} | {' | '.join(cells)} |"


def one_line(text: str) -> str:
    """The words of a text, without what cannot be printed."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def escaped(text: str) -> str:
    """The text as it is, in Markdown; one line of it."""
    return _MARKDOWN.sub(r"\\\1", html.escape(one_line(text), quote=False))
