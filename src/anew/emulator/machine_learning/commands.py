"""The command line of a command job: which module it runs and with which arguments. Pure."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PLACEHOLDER: Final = re.compile(r"\$\{\{\s*(?P<side>inputs|outputs)\.(?P<name>\w+)\s*\}\}")
_PYTHON: Final = frozenset({"python", "python3"})


class CommandError(ValueError):
    """The command cannot be run."""


@dataclass(frozen=True)
class ModuleCommand:
    """``python -m MODULE ARGS``."""

    module: str
    argv: tuple[str, ...]


def module_of(command: str) -> str | None:
    """The module that a ``python -m`` command runs, None when it is no such command."""
    match command.split(maxsplit=3):
        case [python, "-m", module, *_] if python in _PYTHON:
            return module
        case _:
            return None


def parse_command(command: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> ModuleCommand:
    """The command with its ``${{inputs.x}}`` and ``${{outputs.x}}`` placeholders replaced, each in its own word.

    Raises:
        CommandError: it is not a ``python -m`` command, or a placeholder has no value.
    """
    values = {"inputs": inputs, "outputs": outputs}

    def value(match: re.Match[str]) -> str:
        side, name = match["side"], match["name"]
        if name not in values[side]:
            raise CommandError(f"the command refers to {side}.{name}, which the job does not have")
        return values[side][name]

    # Words are split before values go in, so that a value with spaces or quotes stays one argument.
    compact = _PLACEHOLDER.sub(lambda match: "${{" + f"{match['side']}.{match['name']}" + "}}", command)
    words = [_PLACEHOLDER.sub(value, word) for word in shlex.split(compact)]
    match words:
        case [python, "-m", module, *argv] if python in _PYTHON:
            return ModuleCommand(module, tuple(argv))
        case _:
            raise CommandError(f"only 'python -m MODULE ...' commands can be run here, not {command!r}")
