"""The command lines of command jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.emulator.machine_learning.commands import CommandError, ModuleCommand, parse_command


def test_placeholders_are_replaced_with_and_without_spaces() -> None:
    command = "python -m pkg.train --data ${{inputs.data}} --out=${{ outputs.model }}"

    parsed = parse_command(command, {"data": "/d.csv"}, {"model": "/m"})

    assert parsed == ModuleCommand("pkg.train", ("--data", "/d.csv", "--out=/m"))


@given(st.text())
def test_any_value_stays_one_argument_and_is_not_read_again(value: str) -> None:
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
def test_command_that_cannot_be_run_is_refused(command: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        parse_command(command, {"x": "1"}, {})
