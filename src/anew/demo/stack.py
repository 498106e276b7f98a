"""The processes of the demo: local Azure, a Prefect server, a worker and the webhook."""

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from anew.adapters.prefect.api import PrefectFlows
from anew.demo.narrator import Narrator
from anew.demo.processes import Processes, free_port
from anew.settings import SETTINGS_VARIABLE

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP = "anew-demo"
WORKSPACE = "anew-demo"
FACTORY = "anew-demo"
POOL = "anew"
WORKER = "anew-in-process"
MIGRATED = Path(".anew/prefect/prefect.db")
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Addresses:
    """The URLs of the processes."""

    local_azure: str
    prefect: str
    webhook: str
    webhook_operator: str

    @property
    def prefect_api(self) -> str:
        """The API of the Prefect server."""
        return f"{self.prefect}/api"


def prefect_home(folder: Path) -> Path:
    """The home of Prefect in the demo, with a copy of the database that `make setup` migrated, which saves time."""
    home = folder / "prefect"
    home.mkdir()
    if MIGRATED.is_file():
        shutil.copy(MIGRATED, home / MIGRATED.name)
    return home


def choose_addresses() -> Addresses:
    """URLs on free ports of this machine."""
    return Addresses(*(f"http://127.0.0.1:{free_port()}" for _ in range(4)))


def write_settings(folder: Path, addresses: Addresses, policies: Path) -> Path:
    """Write the settings that point every process at local Azure, as a user does for real Azure; returns the file."""
    port, operator_port = (url.rpartition(":")[2] for url in (addresses.webhook, addresses.webhook_operator))
    text = f"""\
ledger = "sqlite:///{folder}/ledger.db"
policies = "{policies}"

[azure]
subscription_id = "{SUBSCRIPTION}"
resource_group = "{RESOURCE_GROUP}"
workspace = "{WORKSPACE}"
data_factory = "{FACTORY}"
log_analytics_workspace_id = "{SUBSCRIPTION}"
local_azure_url = "{addresses.local_azure}"

[webhook]
port = {port}
operator_port = {operator_port}

[prefect]
api_url = "{addresses.prefect_api}"
"""
    path = folder / "anew.toml"
    path.write_text(text)
    return path


def environment(folder: Path, settings_file: Path, addresses: Addresses) -> dict[str, str]:
    """The environment variables of the child processes."""
    return {
        SETTINGS_VARIABLE: str(settings_file),
        "PWD": str(Path.cwd()),
        "PREFECT_HOME": str(prefect_home(folder)),
        "PREFECT_API_URL": addresses.prefect_api,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": addresses.prefect.rpartition(":")[2],
        "PREFECT_SERVER_UI_API_URL": addresses.prefect_api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        # Otherwise Prefect would read a schedule that is added late only once a minute.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "2",
    }


class Stack:
    """Starts the processes: those without dependencies at once, the others as soon as they can run."""

    def __init__(self, folder: Path, addresses: Addresses, processes: Processes, narrator: Narrator) -> None:
        self.folder = folder
        self.addresses = addresses
        self.processes = processes
        self._narrator = narrator

    def start(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Start everything and deploy the flows. Raises DemoFailed naming the log of what did not start.

        `meanwhile` runs once local Azure and the webhook are up, beside the slower start of Prefect.
        """
        port = self.addresses.local_azure.rpartition(":")[2]
        emulator = ["emulator", "--port", port, "--folder", str(self.folder / "local-azure")]
        self.processes.start("prefect server", [sys.executable, "-m", "anew.adapters.prefect.in_process.server"])
        self.processes.start("local azure", [str(_BIN / "anew"), *emulator])
        self.processes.start("webhook", [str(_BIN / "anew"), "serve"])
        with ThreadPoolExecutor(1) as beside:
            deployed = beside.submit(self._start_prefect)
            self._wait("local azure", f"{self.addresses.local_azure}/emulator/health", "local Azure answers")
            self._wait("webhook", f"{self.addresses.webhook_operator}/readyz", "the webhook is ready")
            self._narrator.step(f"local Azure up at {self.addresses.local_azure}, webhook at {self.addresses.webhook}")
            meanwhile()
            with self._narrator.waiting("the Prefect server starts, the worker starts, the flows are deployed"):
                deployed.result()
        self._narrator.step("worker up, flows deployed from prefect.yaml")

    def _start_prefect(self) -> None:
        self._wait("prefect server", f"{self.addresses.prefect_api}/health", "the Prefect server answers")
        self._narrator.step(f"Prefect server up; its UI: {self.addresses.prefect}")
        with PrefectFlows(self.addresses.prefect_api) as flows:
            flows.ensure_pool(POOL, WORKER)
        worker = [str(_BIN / "prefect"), "worker", "start", "--pool", POOL, "--type", WORKER]
        self.processes.start("worker", worker)
        self.processes.run("prefect deploy", [str(_BIN / "prefect"), "--no-prompt", "deploy", "--all"])

    def _wait(self, name: str, url: str, what: str) -> None:
        self.processes.wait_until(name, lambda: _answers(url), what)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
