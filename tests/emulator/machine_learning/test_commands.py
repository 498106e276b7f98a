"""The command lines of command jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.emulator.machine_learning.commands import CommandError, ModuleCommand, parse_command


def test_placeholders_are_replaced() -> None:
    """Placeholders are replaced with and without spaces inside them."""
    command = "python -m pkg.train --data ${{inputs.data}} --out=${{ outputs.model }}"

    parsed = parse_command(command, {"data": "/d.csv"}, {"model": "/m"})

    assert parsed == ModuleCommand("pkg.train", ("--data", "/d.csv", "--out=/m"))


@given(st.text())
def test_value_stays_one_argument(value: str) -> None:
    """Any value stays one argument and is not parsed again."""
    parsed = parse_command("python -m pkg.train --x ${{inputs.x}} --last", {"x": value}, {})

    assert parsed.argv == ("--x", value, "--last")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("bash -c 'echo hi'", "only 'python -m MODULE"),
        ("python train.py", "only 'python -m MODULE"),
        ("python -m pkg.train ${{inputs.y}}", "inputs.y, which the job does not have"),
    ],
)
def test_unsupported_command_is_refused(command: str, reason: str) -> None:
    """A command that is no Python module or names an unknown input is refused."""
    with pytest.raises(CommandError, match=reason):
        parse_command(command, {"x": "1"}, {})
