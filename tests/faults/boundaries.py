"""Every boundary between the engine and the outside, found by inspecting its ports, and processes that die at one.

Between two calls of ports lies nothing but pure code: dying after a call is dying before the next one. A run of n calls
thus has n + 1 gaps in which it can die, gap k before the call k, the last one after all calls.
"""

import inspect
import json
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, wraps
from pathlib import Path
from typing import Any, NoReturn, Protocol, get_args, get_type_hints

from anew.engine.base import ledger, ports
from anew.engine.base.context import Engine

_HOME_OF_PORTS = (ledger.__name__, ports.__name__)


class Watch(Protocol):
    """Is told of every call of a port."""

    def before(self, call: str) -> None: ...
    def after(self, call: str) -> None: ...


# --- finding the ports ------------------------------------------------------------------------------------


def is_port(annotation: Any) -> bool:
    """Whether this is a Protocol of the engine's."""
    return getattr(annotation, "_is_protocol", False) and annotation.__module__ in _HOME_OF_PORTS


@cache
def methods_of(port: type) -> frozenset[str]:
    """What can be called of a port."""
    functions = {name for name, member in vars(port).items() if inspect.isfunction(member) and name[0] != "_"}
    return frozenset(name for name in functions if not gives_port(port, name))


@cache
def gives_port(port: type, name: str) -> bool:
    """Whether this method of a port asks nothing of the outside, but gives the same port with a limit."""
    method = vars(port).get(name)
    return inspect.isfunction(method) and get_type_hints(method).get("return") is port


def ports_of_engine() -> Iterator[tuple[str, type]]:
    """The fields of an Engine that hold a port, or several by name."""
    for name, annotation in get_type_hints(Engine).items():
        for candidate in (annotation, *get_args(annotation)):
            if is_port(candidate):
                yield name, candidate


class Watched:
    """A port, every call of which is told to somebody."""

    def __init__(self, inner: Any, port: type, name: str, watch: Watch) -> None:
        self._inner = inner
        self._port = port
        self._methods = methods_of(port)
        self._name = name
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if gives_port(self._port, name):
            return lambda *args: Watched(member(*args), self._port, self._name, self._watch)
        return self._watched(member, f"{self._name}.{name}") if name in self._methods else member

    def _watched(self, method: Callable[..., Any], call: str) -> Callable[..., Any]:
        @wraps(method)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._watch.before(call)
            answer = method(*args, **kwargs)
            self._watch.after(call)
            return answer

        return watched


def watch_engine(engine: Engine, watch: Watch) -> Engine:
    """The same engine, every port of it watched."""
    changes: dict[str, Any] = {}
    for name, port in ports_of_engine():
        held = getattr(engine, name)
        if isinstance(held, Mapping):
            changes[name] = {key: Watched(each, port, f"{name}.{key}", watch) for key, each in held.items()}
        else:
            changes[name] = Watched(held, port, name, watch)
    assert set(changes) <= {field.name for field in fields(Engine)}
    return replace(engine, **changes)


# --- watching ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a flawless run, and whether the world was another one after it."""

    name: str
    wrote: bool


class Recorder:
    """Notes every call, and by looking at the world before and after it, whether it changed anything."""

    def __init__(self, world: Callable[[], object]) -> None:
        self.calls: list[Call] = []
        self._world = world
        self._seen: object = None

    def before(self, call: str) -> None:
        self._seen = self._world()

    def after(self, call: str) -> None:
        self.calls.append(Call(call, wrote=self._world() != self._seen))

    def save(self, path: Path) -> None:
        """Keep what was noted, for `flawless_calls`."""
        path.write_text(json.dumps([[call.name, call.wrote] for call in self.calls]))


def flawless_calls(path: Path) -> tuple[Call, ...]:
    """What a Recorder saved."""
    return tuple(Call(name, wrote) for name, wrote in json.loads(path.read_text()))


class Killer:
    """Ends this process by SIGKILL in one gap of so many calls. The calls up to there, with the next, are in a file."""

    def __init__(self, gap: int, total: int, calls: Path) -> None:
        self._gap = gap
        self._total = total
        self._calls = 0
        self._file = os.open(calls, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def before(self, call: str) -> None:
        os.write(self._file, f"{call}\n".encode())
        if self._calls == self._gap:
            die()
        self._calls += 1

    def after(self, call: str) -> None:
        # After any other call is before the next one.
        if self._calls == self._gap == self._total:
            die()


def die() -> NoReturn:
    """End this process the way the kernel or a power cut does: nothing is cleaned up, no `finally` runs."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL does not return")


def all_gaps(calls: Sequence[Call]) -> tuple[int, ...]:
    """Every gap."""
    return tuple(range(len(calls) + 1))


def distinct_gaps(calls: Sequence[Call]) -> tuple[int, ...]:
    """One gap for every state the world goes through. Reads leave it as it is, and what the process knew is gone."""
    writes = [number for number, call in enumerate(calls) if call.wrote]
    return tuple(dict.fromkeys((writes[0], *(number + 1 for number in writes))))


def gaps_around(calls: Sequence[Call], name: str) -> tuple[int, ...]:
    """The gaps before and after every such call, and after the write that follows it, which is its record."""
    writes = [number for number, call in enumerate(calls) if call.wrote]
    gaps: list[int] = []
    for number in (number for number in writes if calls[number].name == name):
        gaps += [number, number + 1, *[later + 1 for later in writes if later > number][:1]]
    return tuple(dict.fromkeys(gaps))


def new_gaps(calls: Sequence[Call], seen: Collection[str]) -> tuple[int, ...]:
    """The gaps before and after every kind of write that is not among those seen."""
    writes = [number for number, call in enumerate(calls) if call.wrote and call.name not in seen]
    return tuple(dict.fromkeys(gap for number in writes for gap in (number, number + 1)))
