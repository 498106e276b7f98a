"""The documents say what the code does: generated pages are current, references are complete."""

import re
from collections.abc import Iterator
from enum import StrEnum
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
from tests.repo.paths import ROOT

DOCS = ROOT / "docs"


def _reference(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def _missing(names: set[str], text: str) -> list[str]:
    return sorted(name for name in names if f"`{name}`" not in text)


def test_lifecycle_page_is_current() -> None:
    assert _reference("lifecycle.md") == lifecycle_page()


def test_diagram_has_each_move_once() -> None:
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
    assert _missing(set(_setting_keys(Settings)), _reference("settings.md")) == []


def _commands(of: App, path: str = "anew") -> Iterator[str]:
    for name in of:
        if name.startswith("-"):
            continue
        below = list(_commands(of[name], f"{path} {name}"))
        yield from below or [f"{path} {name}"]


def test_every_command_is_documented() -> None:
    documented = set(re.findall(r"^## `(anew [a-z ]+)`", _reference("cli.md"), re.MULTILINE))
    assert documented == set(_commands(app))


def _property_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for below in schema.values():
            yield from _property_names(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _property_names(below)


def test_every_policy_key_is_documented() -> None:
    assert _missing(set(_property_names(policy_schema())), _reference("policy.md")) == []


def _kinds(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from [schema["const"]] if isinstance(schema.get("const"), str) else []
        for below in schema.values():
            yield from _kinds(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _kinds(below)


def test_every_policy_kind_is_documented() -> None:
    assert _missing(set(_kinds(policy_schema())), _reference("policy.md")) == []


def test_every_event_type_and_cause_is_documented() -> None:
    types = {str(kind).rpartition(".")[2] for kind in EventType}
    assert _missing(types | {str(cause) for cause in Cause}, _reference("events.md")) == []


def test_every_ledger_table_and_state_is_documented() -> None:
    names = set(metadata.tables) | {str(state) for state in (*RetrainingState, *RolloutState)}
    assert _missing(names, _reference("ledger.md")) == []


def test_every_gate_outcome_is_documented() -> None:
    assert _missing({str(outcome) for outcome in GateOutcome}, _reference("policy.md")) == []


@pytest.mark.parametrize("folder", ["how-to", "reference", "adr"])
def test_every_page_is_in_the_index(folder: str) -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [f"{folder}/{page.name}" for page in (DOCS / folder).glob("*.md")]
    assert [page for page in pages if f"({page})" not in index] == []


def test_decision_records_are_numbered_without_gaps() -> None:
    numbers = sorted(int(page.name[:4]) for page in (DOCS / "adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
