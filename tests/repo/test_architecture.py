"""ARCHITECTURE.md is a map: its folders, rooms, arrows, terms and questions match the code."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.paths import ROOT

PACKAGE = ROOT / "src" / "anew"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
_MOST_LINES = 30
_MOST_FILES = 15
_LEAST_QUESTIONS = 15


def _section(heading: str) -> str:
    return re.split(r"^## ", TEXT.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _rooms(layer: Path) -> set[str]:
    return {each.parent.name for each in layer.glob("*/__init__.py")}


def _modules(folder: Path) -> Iterator[Path]:
    return (each for each in folder.rglob("*.py") if "migrations" not in each.parts)


# --- folders ----------------------------------------------------------------------------------------------


def _folder_block() -> list[str]:
    return _section("Folders").split("```")[1].strip("\n").splitlines()


def test_folders_fit_on_a_page() -> None:
    """The folder section is at most 30 lines."""
    assert len(_folder_block()) <= _MOST_LINES


@pytest.mark.parametrize("layer", ["core", "engine", "adapters", "cli", "backtest", "emulator"])
def test_rooms_are_drawn(layer: str) -> None:
    """The line below a layer names exactly the rooms on the disk."""
    lines = _folder_block()
    [index] = [number for number, line in enumerate(lines) if re.match(rf"  {layer}/ ", line)]
    assert set(lines[index + 1].split()) == _rooms(PACKAGE / layer)


def test_folders_exist() -> None:
    """Every folder and file that begins a line exists, and every package folder is drawn."""
    named = [line.split()[0] for line in _folder_block()]
    inside = {name.rstrip("/") for name, line in zip(named, _folder_block(), strict=True) if line.startswith("  ")}
    assert {each.parent.name for each in PACKAGE.glob("*/__init__.py")} <= inside
    for name, line in zip(named, _folder_block(), strict=True):
        if re.match(r"\S", line):
            assert (ROOT / name).exists(), name
        elif re.match(r"  \S", line):
            assert (PACKAGE / name).exists(), name


def test_rooms_are_small() -> None:
    """No folder of the package has more than 15 modules, and each room says what it is for."""
    for room in {each.parent for each in _modules(PACKAGE)}:
        modules = [each for each in room.glob("*.py") if each.name != "__init__.py"]
        assert len(modules) <= _MOST_FILES, room
        if room != PACKAGE and "workloads" not in room.parts:
            source = (room / "__init__.py").read_text(encoding="utf-8")
            assert ast.get_docstring(ast.parse(source)), f"{room} has no docstring"


@pytest.mark.parametrize("layer", ["core", "engine", "adapters", "cli", "backtest", "emulator"])
def test_tests_have_the_rooms(layer: str) -> None:
    """Every folder of tests of a layer is a room of it."""
    folders = {each.parent.name for each in (ROOT / "tests" / layer).glob("*/test_*.py")}
    assert folders <= _rooms(PACKAGE / layer)


# --- arrows -----------------------------------------------------------------------------------------------


def _imported_rooms(module: Path, layer: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"anew.{layer}."):
            yield (node.module or "").split(".")[2]


def _imports_between_rooms(layer: str) -> set[frozenset[str]]:
    pairs: set[frozenset[str]] = set()
    for module in _modules(PACKAGE / layer):
        own = module.relative_to(PACKAGE / layer).parts[0].removesuffix(".py")
        pairs |= {frozenset({own, other}) for other in _imported_rooms(module, layer) if other != own}
    return pairs


def test_arrows_are_the_imports() -> None:
    """Rooms of the engine that import each other have an arrow between them, and no others have. `base` and `history`
    are left out, as the text below the picture says.
    """
    drawn = {frozenset(pair) for pair in re.findall(r"^    (\w+) -- \".+\" --> (\w+)$", TEXT, re.MULTILINE)}
    imported = {pair for pair in _imports_between_rooms("engine") if not pair & {"base", "history"}}
    assert drawn == imported


# --- terms ------------------------------------------------------------------------------------------------


def _terms() -> list[tuple[str, str, str]]:
    return re.findall(r"^- \*\*(.+?)\*\* \(`(.+?)`\): ((?:.+\n)(?:  .+\n)*)", _section("Vocabulary"), re.MULTILINE)


def test_terms_are_owned() -> None:
    """Each term stands once, as a whole sentence, with a module that exists."""
    names = [name.strip() for term, _, _ in _terms() for name in term.split(",")]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len(names) == len(re.findall(r"\*\*", _section("Vocabulary"))) // 2 + sum(
        term.count(",") for term, _, _ in _terms()
    )
    for term, owner, sentence in _terms():
        assert (PACKAGE / owner).exists(), f"{term}: {owner}"
        assert sentence.strip().endswith("."), term


def test_class_names_are_unique() -> None:
    """No two public classes of anew have the same name. Local Azure and its clients have their own vocabulary."""
    names: dict[str, list[str]] = {}
    for module in _modules(PACKAGE):
        if "emulator" in module.parts:
            continue
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names.setdefault(node.name, []).append(str(module.relative_to(PACKAGE)))
    assert {name: places for name, places in names.items() if len(places) > 1} == {}


# --- questions --------------------------------------------------------------------------------------------


def test_questions_lead_somewhere() -> None:
    """At least 15 questions, and every place in the answers exists."""
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", _section("Where to look"), re.MULTILINE)
    assert len(rows) >= _LEAST_QUESTIONS
    for question, answer in rows:
        places = re.findall(r"`([^` ]+)`", answer)
        assert places, question
        for place in places:
            assert (PACKAGE / place).exists(), f"{question}: {place}"


def test_paths_in_the_text_exist() -> None:
    """Every path in backticks that begins with a layer of the package exists."""
    layers = "|".join(sorted(each.parent.name for each in PACKAGE.glob("*/__init__.py")))
    for path in re.findall(rf"`((?:{layers})/[\w/.]+)`", TEXT):
        assert (PACKAGE / path).exists() or (PACKAGE / f"{path}.py").exists(), path
