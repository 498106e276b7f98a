"""Documents laid over each other, each value remembering the file and line it came from."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, cast

from anew.core.policies.yaml_nodes import Path


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value stands: the file, the line, and its path in that file."""

    source: str
    line: int
    path: Path


@dataclass(frozen=True, slots=True)
class Located:
    """One thing wrong, and where: as text, `file:line: path: message`."""

    source: str
    line: int
    path: Path
    message: str

    def __str__(self) -> str:
        where = path_text(self.path)
        return ": ".join(part for part in (f"{self.source}:{self.line}", where, self.message) if part)


@dataclass(frozen=True, slots=True)
class Layer:
    """JSON-like data, where each of its paths came from, and the paths at which the YAML itself was at fault, so that
    the data have a hole.
    """

    data: Any
    origins: Mapping[Path, Origin]
    source: str
    holes: tuple[Path, ...] = ()

    def origin_of(self, path: Path) -> Origin:
        """The origin of this path, or of the nearest thing above it that is there, extended by what is missing."""
        rest: Path = ()
        while path and path not in self.origins:
            path, rest = path[:-1], (path[-1], *rest)
        found = self.origins.get(path, Origin(self.source, 1, ()))
        return Origin(found.source, found.line, (*found.path, *rest))

    def located(self, path: Path, message: str) -> "Located":
        """A problem at this path."""
        origin = self.origin_of(path)
        return Located(origin.source, origin.line, origin.path, message)

    def without(self, key: str) -> "Layer":
        """The mapping without one of its keys."""
        kept = {name: value for name, value in cast("dict[str, Any]", self.data).items() if name != key}
        origins = {path: origin for path, origin in self.origins.items() if path[:1] != (key,)}
        return Layer(kept, origins, self.source, tuple(hole for hole in self.holes if hole[:1] != (key,)))

    def below(self, prefix: Path) -> "Layer":
        """What stands at this path, as a layer of its own."""
        data = self.data
        for part in prefix:
            data = data[part]
        length = len(prefix)
        origins = {path[length:]: origin for path, origin in self.origins.items() if path[:length] == prefix}
        holes = tuple(hole[length:] for hole in self.holes if hole[:length] == prefix)
        return Layer(data, origins, self.source, holes)

    def items(self) -> Iterator["Layer"]:
        """The items of the list this is, each as a layer of its own."""
        count = len(cast("list[Any]", self.data))
        origins: list[dict[Path, Origin]] = [{} for _ in range(count)]
        for path, origin in self.origins.items():
            if path and isinstance(path[0], int):
                origins[path[0]][path[1:]] = origin
        for index in range(count):
            holes = tuple(hole[1:] for hole in self.holes if hole[:1] == (index,))
            yield Layer(self.data[index], origins[index], self.source, holes)


def layer_of(data: Any, lines: Mapping[Path, int], source: str, holes: tuple[Path, ...] = ()) -> Layer:
    """The layer of one file."""
    return Layer(data, {path: Origin(source, line, path) for path, line in lines.items()}, source, holes)


def overlay(base: Layer, over: Layer) -> Layer:
    """`over` laid on `base`: mappings are merged key by key, unless they are of different `kind`; all else replaces."""
    replaced: set[Path] = set()
    data = _merged(base.data, over.data, (), replaced)
    origins = {path: origin for path, origin in base.origins.items() if not _is_within(path, replaced)}
    origins.update(over.origins)
    return Layer(data, origins, over.source, (*base.holes, *over.holes))


def _merged(base: Any, over: Any, path: Path, replaced: set[Path]) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict) or _kinds_differ(base, over):  # pyright: ignore[reportUnknownArgumentType]
        replaced.add(path)
        return over
    merged = dict(cast("dict[str, Any]", base))
    for key, value in cast("dict[str, Any]", over).items():
        merged[key] = _merged(merged[key], value, (*path, key), replaced) if key in merged else value
    return merged


def _is_within(path: Path, replaced: AbstractSet[Path]) -> bool:
    return any(path[:length] in replaced for length in range(len(path) + 1))


def _kinds_differ(base: Mapping[str, Any], over: Mapping[str, Any]) -> bool:
    return "kind" in over and "kind" in base and base["kind"] != over["kind"]


def path_text(path: Path) -> str:
    """A path as people write it: `when.rules[0].kind`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return " ".join(text.removeprefix(".").split())


def in_order(problems: Iterable[Located]) -> tuple[str, ...]:
    """The problems as texts, each once, file by file in the order of their lines."""
    ordered = sorted(problems, key=lambda problem: (problem.source, problem.line, path_text(problem.path)))
    return tuple(dict.fromkeys(str(problem) for problem in ordered))
