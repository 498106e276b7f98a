"""Every port of the engine, and every implementation of it, has a suite in this folder.

A suite says with `CONTRACT` for which ports and implementations it is.
"""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules, walk_packages
from types import FunctionType, ModuleType
from typing import Any, Protocol

import pytest

import anew.adapters
import anew.engine.base
import tests.contract


def _ports() -> Iterator[type]:
    """The Protocols of engine/base with methods of their own; one with properties only is a view of an Engine."""
    for module in iter_modules(anew.engine.base.__path__, f"{anew.engine.base.__name__}."):
        for value in _defined_in(import_module(module.name)):
            if Protocol in value.__bases__ and _methods(value):
                yield value


def _defined_in(module: ModuleType) -> list[type]:
    return [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]


def _methods(port: type) -> dict[str, list[str]]:
    """The parameters of each method. `__init__` is what `Protocol` adds."""
    found = {name: value for name, value in vars(port).items() if isinstance(value, FunctionType)}
    ours = {name: value for name, value in found.items() if not name.startswith("__") or name == "__call__"}
    return {name: list(inspect.signature(value).parameters) for name, value in ours.items()}


def _implements(candidate: type, port: type) -> bool:
    own = {name: value for base in reversed(candidate.__mro__) for name, value in vars(base).items()}
    return all(
        isinstance(own.get(name), FunctionType) and list(inspect.signature(own[name]).parameters) == parameters
        for name, parameters in _methods(port).items()
    )


def _adapters() -> set[type]:
    modules = [import_module(each.name) for each in walk_packages(anew.adapters.__path__, f"{anew.adapters.__name__}.")
               if "migrations" not in each.name]  # fmt: skip
    return {each for module in modules for each in _defined_in(module)}


def _contracts() -> dict[type, set[Any]]:
    held: dict[type, set[Any]] = {}
    for file in Path(tests.contract.__path__[0]).glob("test_*.py"):
        for port, implementations in getattr(import_module(f"tests.contract.{file.stem}"), "CONTRACT", {}).items():
            held.setdefault(port, set()).update(implementations)
    return held


PORTS = list(_ports())


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.__name__)
def test_port_has_a_suite(port: type) -> None:
    """A new port cannot be forgotten, nor an implementation of one that has a suite."""
    adapters = {each for each in _adapters() if _implements(each, port)}

    held = _contracts().get(port, set())

    assert held
    assert adapters - held == set()


def test_ports_and_implementations_are_found() -> None:
    """The test above finds what it should: it would pass if it found nothing."""
    names = {port.__name__ for port in PORTS}
    assert {"Ledger", "Notifier", "Flows", "Forms", "MapConcurrently", "EvidenceReader", "MissedEvents"} <= names
    assert "Recorder" not in names
    assert all(any(_implements(each, port) for each in _contracts()[port] if inspect.isclass(each))
               for port in PORTS if port.__name__ != "MapConcurrently")  # fmt: skip
