"""A worker's heap is frozen when its first flow runs: what a tick leaves behind is collected soon."""

import os
import subprocess
import sys
from pathlib import Path

from anew.settings import SETTINGS_VARIABLE
from tests.repo.paths import ROOT

_PROBE = """
import asyncio, gc
from flows._engine import run
print(asyncio.run(run(lambda engine, now: gc.get_freeze_count())), len(gc.get_objects()))
"""


def test_engine_is_frozen_in_the_heap(tmp_path: Path) -> None:
    """Flows freeze the objects of the engine, so that garbage collections skip them."""
    settings = tmp_path / "anew.toml"
    settings.write_text(f"""\
ledger = "sqlite:///{tmp_path}/ledger.db"
policies = "{ROOT}/policies"

[azure]
subscription_id = "00000000-0000-0000-0000-000000000000"
resource_group = "rg"
workspace = "ws"
data_factory = "adf"
local_azure_url = "http://127.0.0.1:9"
""")

    ended = subprocess.run(
        [sys.executable, "-c", _PROBE],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=ROOT,
        env=os.environ | {SETTINGS_VARIABLE: str(settings)},
    )

    frozen, collected = map(int, ended.stdout.split())
    assert frozen > 10 * collected
