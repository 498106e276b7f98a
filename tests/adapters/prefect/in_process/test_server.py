"""What our launcher changes in a Prefect server. That the server works is shown by all tests that use one."""

import subprocess
import sys

COUNTED = """
from prefect.server.api import server
from prefect.settings import Settings
from anew.adapters.prefect.in_process.server import remember_app

made = []
hash_key = Settings.hash_key
Settings.hash_key = lambda settings: made.append(settings) or hash_key(settings)
remember_app()
first = server.create_app()
made.clear()
assert server.create_app() is first
assert not made, "the settings were looked at again"
assert server.create_app(webserver_only=True) is not first
"""


def test_app_lookup_is_cached() -> None:
    """The lookup of the running Prefect app is cached and hashes no settings again."""
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
