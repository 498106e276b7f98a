"""How long computations run: the number of processes, the cache, and the reports of progress."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]


class Progress(Protocol):
    """Receives the stage of the work, and how much of it is done."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """Reports no progress."""


@dataclass(frozen=True)
class Work:
    """`cache` is a folder for results (None keeps none), `processes` how many train at the same time."""

    cache: Path | None = None
    processes: int = 1
    progress: Progress = silent


def cached(folder: Path | None, key: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """The arrays of this key: read from the folder, or made and written there.

    A file that cannot be read is made anew. Writing replaces at once, so that two processes do no harm.
    """
    if folder is None:
        return make()
    text = json.dumps(key, sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    if (known := _load(path)) is not None:
        return known
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=folder, suffix=".partial")
    with os.fdopen(handle, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **made)
    Path(partial).replace(path)
    return made


def _load(path: Path) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile, KeyError):
        return None
