"""The documents say what the code does: generated pages are current, references are complete."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App
from pydantic import BaseModel

from anew.adapters.ledger.tables import metadata
from anew.cli import app
from anew.core.events.event import Cause, EventType
from anew.core.gate import GateOutcome
from anew.core.lifecycle_diagram import lifecycle_page, mermaid
from anew.core.policies.text import policy_schema
from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.settings import Settings
from tests.repo.paths import ROOT, markdown_files

DOCS = ROOT / "docs"


def _reference(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def _missing(names: set[str], text: str) -> list[str]:
    return sorted(name for name in names if f"`{name}`" not in text)


def test_lifecycle_page_is_current() -> None:
    """The page `lifecycle.md` equals the page generated from the code."""
    assert _reference("lifecycle.md") == lifecycle_page()


def test_diagram_has_each_move_once() -> None:
    """The diagram of a lifecycle has its start, each move once and its end."""

    class State(StrEnum):
        OPEN = "open"
        DONE = "done"

    class Move(StrEnum):
        FINISHED = "finished"

    drawn = mermaid({State.OPEN: ""}, {State.OPEN: {Move.FINISHED: State.DONE}, State.DONE: {}}, {State.OPEN})
    assert drawn.splitlines()[1:] == ["    [*] --> open", "    open --> done: finished", "    done --> [*]"]


def _setting_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _setting_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_setting_is_documented() -> None:
    """The reference names every setting."""
    assert _missing(set(_setting_keys(Settings)), _reference("settings.md")) == []


def _commands(of: App, path: str = "anew") -> Iterator[str]:
    for name in of:
        if name.startswith("-"):
            continue
        below = list(_commands(of[name], f"{path} {name}"))
        yield from below or [f"{path} {name}"]


def test_every_command_is_documented() -> None:
    """The reference has a section for every command and for no other."""
    documented = set(re.findall(r"^## `(anew [a-z ]+)`", _reference("cli.md"), re.MULTILINE))
    assert documented == set(_commands(app))


def _row(text: str, name: str) -> str:
    """The row of a table whose first cell names this, or the item of a list that begins with it."""
    row = re.search(rf"^(?:\|[^|]*`{name}`[^|]*\|.*|- \W*(?:`\w+`, )*`{name}`.*(?:\n  .*)*)$", text, re.MULTILINE)
    return row[0] if row else ""


def _about(text: str, name: str) -> str:
    """The row and paragraph that begin with a name, and the first cells of tables or lists of its own: after a
    line `parent.name`, or under its heading.
    """
    tables = re.findall(rf"^(?:`\w+\.{name}`:|### {name})\n(?:(?!#).*\n)+", text, re.MULTILINE)
    cells = re.findall(r"^\|[^|]*\||^- [^:(]*", "".join(tables), re.MULTILINE)
    return "\n".join([_row(text, name), *re.findall(rf"^`{name}`(?:.+\n)+", text, re.MULTILINE), *cells])


class _Reference:
    """The reference of policies, held against the schema: what it leaves out, each document looked at once."""

    def __init__(self, page: str, schema: dict[str, Any]) -> None:
        parts = re.split(r"^## ", page, flags=re.MULTILINE)
        self._sections = {part.partition("\n")[0]: part for part in parts}
        self._schema, self._seen = schema, set[str]()

    def undocumented(self) -> Iterator[str]:
        top = self._sections["Top level"]
        for key, value in self._schema["properties"].items():
            if not _row(top, key):
                yield key
            section = self._sections.get({"block_when": "when", "models": "Top level"}.get(key, key))
            yield from self._below(key, value, section or top, "" if section else _about(top, key))

    def _below(self, path: str, value: Any, section: str, text: str) -> Iterator[str]:
        """Keys of a section's own document need a row of it; others are named where their kind or holder is."""
        names = re.findall(r"'\$ref': '#/\$defs/(\w+)'", str(value))
        for name in [name for name in names if name not in self._seen]:
            self._seen.add(name)
            document = self._schema["$defs"][name].get("properties", {})
            kind = document.get("kind", {}).get("const")
            said = _row(section, kind) or text if kind else text
            if kind and f"`{kind}`" not in said:
                yield f"{path}: {kind}"
            for key, below in document.items():
                if kind and key == "kind":
                    continue
                holder = path.rpartition(".")[2]
                named = any(f"`{each}`" in said for each in (key, f"{holder}.{key}"))
                if not (named if said else _row(section, key)):
                    yield f"{path}.{key}"
                yield from self._below(f"{path}.{key}", below, section, _about(section, key).strip() or said)


def test_every_policy_key_is_documented() -> None:
    """Each key has a row in its own section; one of a small mapping or a kind is in the row of that."""
    assert list(_Reference(_reference("policy.md"), policy_schema()).undocumented()) == []


def _kinds(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from [schema["const"]] if isinstance(schema.get("const"), str) else []
        for below in schema.values():
            yield from _kinds(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _kinds(below)


def test_every_policy_kind_is_documented() -> None:
    """The reference names every `kind` of a policy."""
    assert _missing(set(_kinds(policy_schema())), _reference("policy.md")) == []


def test_every_event_type_is_documented() -> None:
    """The reference names every event type and cause."""
    types = {str(kind).rpartition(".")[2] for kind in EventType}
    assert _missing(types | {str(cause) for cause in Cause}, _reference("events.md")) == []


def test_every_ledger_table_is_documented() -> None:
    """The reference names every table of the ledger and every state."""
    names = set(metadata.tables) | {str(state) for state in (*RetrainingState, *RolloutState)}
    assert _missing(names, _reference("ledger.md")) == []


def test_every_gate_outcome_is_documented() -> None:
    """The reference names every outcome of the gate."""
    assert _missing({str(outcome) for outcome in GateOutcome}, _reference("policy.md")) == []


@pytest.mark.parametrize("folder", ["how-to", "reference", "adr"])
def test_every_page_is_in_the_index(folder: str) -> None:
    """The index of the documents links every page."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [f"{folder}/{page.name}" for page in (DOCS / folder).glob("*.md")]
    assert [page for page in pages if f"({page})" not in index] == []


def test_decision_records_have_no_gaps() -> None:
    """Decision records are numbered from 1 without gaps."""
    numbers = sorted(int(page.name[:4]) for page in (DOCS / "adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


_WIDEST = 120
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("file", markdown_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_lines_are_short(file: Path) -> None:
    """A line of a document has under 120 characters. Quoted output and a line that is one link may be longer."""
    text = _FENCED.sub("", file.read_text(encoding="utf-8"))
    assert [
        line for line in text.splitlines() if len(line) >= _WIDEST and not re.match(r"^- \[.*\]\(\S+\)$", line)
    ] == []
