"""Documents laid over each other: what merges, what replaces, and where each value came from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.policies.places import Path, Place, Placed, Problem, in_order, overlay
from anew.core.policies.yaml_reader import read_yaml


def placed(text: str, source: str = "p.yaml") -> Placed:
    found, problems = read_yaml(text, source)
    assert found is not None
    assert problems == []
    return found


def laid(base: str, over: str) -> Placed:
    return overlay(placed(base, "default.yaml"), placed(over))


_KEYS = st.sampled_from(["a", "b", "kind"])
_SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"])
_DATA = st.recursive(
    _SCALARS,
    lambda below: st.lists(below, max_size=2) | st.dictionaries(_KEYS, below, max_size=3),
    max_leaves=6,
)
_MAPPINGS = st.dictionaries(_KEYS, _DATA, max_size=3)


def made(data: Any, source: str, path: Path = ()) -> Placed:
    place = Place(source, len(path) + 1, path)
    if isinstance(data, dict):
        return Placed({key: made(value, source, (*path, key)) for key, value in data.items()}, place)
    if isinstance(data, list):
        return Placed([made(value, source, (*path, index)) for index, value in enumerate(data)], place)
    return Placed(data, place)


def everything(value: Placed, path: Path = ()) -> list[tuple[Path, Placed]]:
    data = value.data
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [(path, value), *(each for key, below in items for each in everything(below, (*path, key)))]


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
def test_mappings_merge_by_key(base: str, over: str, expected: Any) -> None:
    """Mappings merge key by key, and all else is replaced."""
    assert laid(base, over).plain() == expected


@given(_MAPPINGS)
def test_empty_layer_changes_nothing(data: dict[str, Any]) -> None:
    """A layer over or under an empty one, or over itself, stays the same."""
    nothing, some = made({}, "none"), made(data, "some")
    assert overlay(nothing, some).plain() == overlay(some, nothing).plain() == data
    assert overlay(some, some).plain() == data


@given(_MAPPINGS, _MAPPINGS)
def test_value_stands_at_its_place(base: dict[str, Any], over: dict[str, Any]) -> None:
    """Each value of the result is the one at its place in its file, or a mapping that was merged there."""
    for path, value in everything(overlay(made(base, "base"), made(over, "over"))):
        written: Any = over if value.place.source == "over" else base
        for part in value.place.path:
            written = written[part]
        assert value.place == Place(value.place.source, len(path) + 1, path)
        assert value.plain() == written or isinstance(written, dict)


# --- where it came from -----------------------------------------------------------------------------------


def place(of: Placed, *path: str | int) -> Place:
    return of.problem(path, "is odd").place


def test_value_remembers_file_and_line() -> None:
    """A missing value has the line of its nearest parent."""
    result = laid("\na:\n  x: 1\n  y: 2\n", "a:\n  y: 3\nb: 1\n")
    assert place(result, "a", "x") == Place("default.yaml", 3, ("a", "x"))
    assert place(result, "a", "y") == Place("p.yaml", 2, ("a", "y"))
    assert place(result, "a", "z") == Place("p.yaml", 1, ("a", "z"))
    assert place(result, "c") == Place("p.yaml", 1, ("c",))


def test_replaced_value_leaves_no_place() -> None:
    """A problem below a replaced mapping is named in the file that replaced it."""
    result = laid("\n\na: {kind: p, x: {deep: 1}}\n", "a: {kind: q}\n")
    assert place(result, "a", "x", "deep") == Place("p.yaml", 1, ("a", "x", "deep"))


def test_part_keeps_its_path() -> None:
    """An item, taken out of its file and laid over something else, is still named by its path in the file."""
    models = placed("models:\n  - a: 1\n  - b: {c: 2}\n").get("models")
    assert models is not None
    second = models.get(1)
    assert second is not None
    assert second.plain() == {"b": {"c": 2}}
    assert str(second.problem(("b", "c"), "is odd")) == "p.yaml:3: models[1].b.c: is odd"
    assert place(overlay(placed("b: {d: 1}"), second), "b", "c") == Place("p.yaml", 3, ("models", 1, "b", "c"))


@pytest.mark.parametrize("part", ["b", 0, -1, 2, "0"])
def test_absent_part_is_none(part: str | int) -> None:
    """Keys of a mapping are no indexes, indexes of a list no keys, and a text has neither."""
    assert placed("{a: 1}").get(part) is None
    assert placed("text").get(part) is None
    assert (placed("[1, 2]").get(part) is None) == (part != 0)


def test_large_layers_merge_quickly() -> None:
    """Merging large layers does not take quadratic time."""
    base = placed("a: {" + ", ".join(f"k{number}: [1]" for number in range(9000)) + "}", "default.yaml")
    over = placed("a: {" + ", ".join(f"k{number}: [2]" for number in range(9000)) + "}")
    result = overlay(base, over)
    assert {value.place.source for path, value in everything(result) if len(path) > 1} == {"p.yaml"}


# --- wording ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), "p:7: odd"),
        (("a",), "p:7: a: odd"),
        (("a", 0, "b"), "p:7: a[0].b: odd"),
        ((0, "a"), "p:7: [0].a: odd"),
        (("a\nb",), "p:7: a b: odd"),
    ],
)
def test_problem_shows_its_path(path: Path, expected: str) -> None:
    """A problem shows its file, line and path."""
    assert str(Problem(Place("p", 7, path), "odd")) == expected


def test_problems_are_sorted_and_unique() -> None:
    """Problems are sorted by file and line, each once."""
    first, second = (Problem(Place("a.yaml", line, (key,)), "is odd") for line, key in ((2, "x"), (10, "y")))
    other = Problem(Place("b.yaml", 1), "is odd")
    assert in_order([other, second, first, second]) == (
        "a.yaml:2: x: is odd",
        "a.yaml:10: y: is odd",
        "b.yaml:1: is odd",
    )
