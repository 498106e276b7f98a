"""A command that needs no vendor imports none: `--help` answers before azure.ai.ml would have been imported."""

import subprocess
import sys

import pytest

from tests.repo.paths import ROOT

HEAVY = {"azure", "prefect", "sqlalchemy", "numpy", "pandas", "starlette", "pydantic_settings", "scipy", "sklearn"}

_PROBE = """
import sys
from anew.cli import app
app(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def _imported_by(*arguments: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    assert ended.stdout
    return set(ended.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("policy", "--help"), ("events", "--help")])
def test_help_imports_no_vendor(arguments: tuple[str, ...]) -> None:
    """A help or version command imports no heavy library."""
    assert _imported_by(*arguments) & HEAVY == set()


def test_webhook_imports_no_sdk() -> None:
    """The webhook imports neither Prefect nor the Azure SDKs."""
    code = "import sys, anew.cli.serve, anew.webhook.app, anew.adapters.prefect.api; print(*sys.modules, sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    names = set(ended.stdout.split())
    assert {"prefect", "azure.ai.ml", "azure.identity", "numpy", "pandas", "scipy"} & names == set()
