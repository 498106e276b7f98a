"""Documents laid over each other: what merges, what replaces, and where each value came from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.policies.layers import Layer, Located, Origin, in_order, layer_of, overlay, path_text
from anew.core.policies.yaml_nodes import Path, locate


def layer(text: str, source: str = "p.yaml") -> Layer:
    found = locate(text)
    return layer_of(found.data, found.lines, source)


def laid(base: str, over: str) -> Layer:
    return overlay(layer(base, "default.yaml"), layer(over))


_KEYS = st.sampled_from(["a", "b", "kind"])
_SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"])
_DATA = st.recursive(
    _SCALARS,
    lambda below: st.lists(below, max_size=2) | st.dictionaries(_KEYS, below, max_size=3),
    max_leaves=6,
)
_MAPPINGS = st.dictionaries(_KEYS, _DATA, max_size=3)


def lines_of(data: Any, path: Path = ()) -> dict[Path, int]:
    lines = {path: len(path) + 1}
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        lines |= lines_of(value, (*path, key))
    return lines


def made(data: Any, source: str) -> Layer:
    return layer_of(data, lines_of(data), source)


# --- what merges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ("a: 1", "b: 2", {"a": 1, "b": 2}),
        ("a: 1", "a: 2", {"a": 2}),
        ("a: {x: 1, y: 2}", "a: {y: 3}", {"a": {"x": 1, "y": 3}}),
        ("a: [1, 2]", "a: [3]", {"a": [3]}),
        ("a: {x: 1}", "a: 5", {"a": 5}),
        ("a: 5", "a: {x: 1}", {"a": {"x": 1}}),
        ("a: {x: 1}", "a: null", {"a": None}),
        ("a: {kind: p, x: 1}", "a: {kind: q, y: 2}", {"a": {"kind": "q", "y": 2}}),
        ("a: {kind: p, x: 1}", "a: {kind: p, y: 2}", {"a": {"kind": "p", "x": 1, "y": 2}}),
        ("a: {kind: p, x: 1}", "a: {y: 2}", {"a": {"kind": "p", "x": 1, "y": 2}}),
        ("a: {b: {kind: p, x: 1}, c: 1}", "a: {b: {kind: q}}", {"a": {"b": {"kind": "q"}, "c": 1}}),
        ("{}", "a: 1", {"a": 1}),
        ("a: 1", "{}", {"a": 1}),
    ],
)
def test_mappings_merge_key_by_key_and_all_else_replaces(base: str, over: str, expected: Any) -> None:
    assert laid(base, over).data == expected


@given(_MAPPINGS)
def test_a_layer_over_or_under_nothing_is_itself(data: dict[str, Any]) -> None:
    nothing, some = made({}, "none"), made(data, "some")
    assert overlay(nothing, some).data == overlay(some, nothing).data == data
    assert overlay(some, some).data == data


@given(_MAPPINGS, _MAPPINGS)
def test_a_value_is_the_one_that_stands_at_its_origin(base: dict[str, Any], over: dict[str, Any]) -> None:
    result = overlay(made(base, "base"), made(over, "over"))
    for path, origin in result.origins.items():
        written = Layer(over if origin.source == "over" else base, {}, "").below(origin.path).data
        value = result.below(path).data
        assert origin.path == path
        assert value == written or isinstance(value, dict)


@given(_MAPPINGS, _MAPPINGS)
def test_every_value_of_the_result_has_an_origin_and_no_other_has(base: dict[str, Any], over: dict[str, Any]) -> None:
    result = overlay(made(base, "base"), made(over, "over"))
    assert set(result.origins) == set(lines_of(result.data))


# --- where it came from -----------------------------------------------------------------------------------


def test_a_value_remembers_its_file_and_line_and_what_is_missing_its_nearest_parent() -> None:
    result = laid("\na:\n  x: 1\n  y: 2\n", "a:\n  y: 3\nb: 1\n")
    assert result.origin_of(("a", "x")) == Origin("default.yaml", 3, ("a", "x"))
    assert result.origin_of(("a", "y")) == Origin("p.yaml", 2, ("a", "y"))
    assert result.origin_of(("a", "z")) == Origin("p.yaml", 1, ("a", "z"))
    assert result.origin_of(("c",)) == Origin("p.yaml", 1, ("c",))


def test_what_was_replaced_leaves_no_origin_behind() -> None:
    result = laid("\n\na: {kind: p, x: {deep: 1}}\n", "a: {kind: q}\n")
    assert result.origin_of(("a", "x", "deep")) == Origin("p.yaml", 1, ("a", "x", "deep"))


def test_items_and_below_keep_the_path_in_the_file() -> None:
    whole = layer("models:\n  - a: 1\n  - b: {c: 2}\n")
    [first, second] = whole.below(("models",)).items()
    assert (first.data, second.data) == ({"a": 1}, {"b": {"c": 2}})
    assert second.origin_of(("b", "c")) == Origin("p.yaml", 3, ("models", 1, "b", "c"))
    assert second.origins == whole.below(("models", 1)).origins
    assert str(second.located(("b", "c"), "is odd")) == "p.yaml:3: models[1].b.c: is odd"


def test_without_a_key_its_values_and_holes_are_gone() -> None:
    whole = layer_of({"a": {"b": 1}, "c": 2}, {(): 1, ("a",): 1, ("a", "b"): 2, ("c",): 3}, "p", (("a", "b"), ("c",)))
    rest = whole.without("a")
    assert (rest.data, set(rest.origins), rest.holes) == ({"c": 2}, {(), ("c",)}, (("c",),))


def test_a_large_layer_over_another_takes_no_square_of_time() -> None:
    base = layer("a: {" + ", ".join(f"k{number}: [1]" for number in range(9000)) + "}", "default.yaml")
    over = layer("a: {" + ", ".join(f"k{number}: [2]" for number in range(9000)) + "}")
    result = overlay(base, over)
    assert {origin.source for path, origin in result.origins.items() if len(path) > 1} == {"p.yaml"}


# --- wording ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [((), ""), (("a",), "a"), (("a", 0, "b"), "a[0].b"), ((0, "a"), "[0].a"), (("a\nb",), "a b")],
)
def test_a_path_is_written_as_people_write_it(path: Path, expected: str) -> None:
    assert path_text(path) == expected


def test_problems_come_file_by_file_in_line_order_and_once() -> None:
    first, second = Located("a.yaml", 2, ("x",), "is odd"), Located("a.yaml", 10, ("y",), "is odd")
    other = Located("b.yaml", 1, (), "is odd")
    assert in_order([other, second, first, second]) == (
        "a.yaml:2: x: is odd",
        "a.yaml:10: y: is odd",
        "b.yaml:1: is odd",
    )
