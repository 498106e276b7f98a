"""Explanations: the same tree as lines, Markdown and JSON, whatever the names in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.decisions.decide import compile_policy, decide
from anew.core.decisions.decision import Decision, Outcome
from anew.core.decisions.explain import from_json, to_json, to_markdown, tree_lines
from anew.core.evidence.history import History
from anew.core.evidence.signals import Evidence, Signal
from anew.core.evidence.tree import Node, Verdict
from tests.core.policies.samples import NOW, sample

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=4,
)
_VALUES = st.dictionaries(st.text().filter(lambda name: name != "compared"), _JSON, max_size=3)


def _nodes(children: st.SearchStrategy[tuple[Node, ...]]) -> st.SearchStrategy[Node]:
    return st.builds(Node, st.text(), st.sampled_from(Verdict), st.text(), _VALUES, children)


def _parents(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return _nodes(st.lists(below, max_size=3).map(_tuple))


def _tuple(nodes: list[Node]) -> tuple[Node, ...]:
    return tuple(nodes)


_TREES = st.recursive(_nodes(st.just(())), _parents, max_leaves=6)


def count(node: Node) -> int:
    return 1 + sum(count(child) for child in node.children)


def decided(feature: str | None = None) -> Decision:
    signals = (Signal("drift_coefficient", 0.8, "event", NOW, feature), Signal("accuracy", float("nan"), "query", NOW))
    return decide(compile_policy(sample()), Evidence(signals), History(), NOW)


@given(_TREES)
def test_tree_survives_json(tree: Node) -> None:
    """Any tree survives JSON text."""
    assert from_json(json.loads(json.dumps(to_json(tree)))) == tree


def test_decision_with_nan_survives_json() -> None:
    """A decision on values that are not numbers survives strict JSON."""
    tree = decided().tree
    assert from_json(json.loads(json.dumps(to_json(tree), allow_nan=False))) == tree


@pytest.mark.parametrize("data", [{}, {"rule": "x"}, {**to_json(Node("x", Verdict.YES, "")), "verdict": "maybe"}])
def test_other_json_is_refused(data: dict[str, Any]) -> None:
    """JSON that is not a decision tree is refused."""
    with pytest.raises(ValueError, match=r"not a decision tree|not a valid Verdict"):
        from_json(data)


@given(_TREES)
def test_node_is_one_printable_line(tree: Node) -> None:
    """Every node becomes one printable line."""
    lines = tree_lines(tree)
    assert len(lines) == count(tree)
    assert all(line.isprintable() for line in lines)


def test_lines_draw_the_tree() -> None:
    """The lines draw the tree with branches and verdict marks."""
    leaf = Node("threshold", Verdict.NO, "no")
    tree = Node(
        "all", Verdict.NO, "not all", children=(Node("any", Verdict.UNKNOWN, "who knows", children=(leaf,)), leaf)
    )
    assert tree_lines(tree) == [
        "✗ all: not all",
        "├─ ? any: who knows",
        "│  └─ ✗ threshold: no",
        "└─ ✗ threshold: no",
    ]


def test_terminal_escapes_are_removed() -> None:
    """Terminal escapes in names are removed from the lines."""
    assert "\x1b" not in "".join(tree_lines(decided("\x1b[2Jage\nx").tree))


def test_markdown_shows_outcome_and_values() -> None:
    """The Markdown shows the outcome, the tree and a table of the values compared."""
    text = to_markdown(decided("AGE"))
    assert text.startswith("# Decision: insufficient\n\n- ? **decision**: ")
    assert "\n    - ✓ **threshold**: drift\\_coefficient of AGE 0.8 is above 0.3" in text
    assert "| ✓ | drift\\_coefficient | AGE | 0.8 | above 0.3 | event | 2026-07-14T12:00:00+00:00 |" in text
    assert "| ? | accuracy |  |  | below 0.76 | query |" in text


@given(st.text(min_size=1))
def test_names_cannot_break_markdown(feature: str) -> None:
    """No name breaks the Markdown table or injects HTML."""
    text = to_markdown(decided(f"{feature}|<script>"))
    row = next(line for line in text.splitlines() if line.startswith("| ✓"))
    assert row.replace("\\|", "").count("|") - row.replace("\\|", "").count("\\\\|") >= 8
    assert "<" not in text


def test_no_table_without_comparisons() -> None:
    """A tree without comparisons has no table."""
    text = to_markdown(Decision(Outcome.HOLD, Node("decision", Verdict.NO, "hold")))
    assert "##" not in text
