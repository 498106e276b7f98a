"""Everything that runs beside the demo: local Azure, a Prefect server, a worker and the webhook."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from anew.demo.narrator import Narrator
from anew.demo.processes import Processes, free_port
from anew.settings import SETTINGS_VARIABLE

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP = "anew-demo"
WORKSPACE = "anew-demo"
FACTORY = "anew-demo"
POOL = "anew"
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Addresses:
    """Where things listen."""

    local_azure: str
    prefect: str
    webhook: str

    @property
    def prefect_api(self) -> str:
        """The Prefect server's API."""
        return f"{self.prefect}/api"


def choose_addresses() -> Addresses:
    """Free ports on this machine."""
    return Addresses(*(f"http://127.0.0.1:{free_port()}" for _ in range(3)))


def write_settings(folder: Path, addresses: Addresses, policies: Path) -> Path:
    """The settings file that points every process at local Azure: what a user writes for the real one."""
    port = addresses.webhook.rpartition(":")[2]
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

[prefect]
api_url = "{addresses.prefect_api}"
"""
    path = folder / "anew.toml"
    path.write_text(text)
    return path


def environment(folder: Path, settings_file: Path, addresses: Addresses) -> dict[str, str]:
    """What the child processes are told."""
    return {
        SETTINGS_VARIABLE: str(settings_file),
        "PWD": str(Path.cwd()),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": addresses.prefect_api,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": addresses.prefect.rpartition(":")[2],
        "PREFECT_SERVER_UI_API_URL": addresses.prefect_api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "0.5",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "2",
    }


class Stack:
    """The processes of the demo, in the order they depend on each other."""

    def __init__(self, folder: Path, addresses: Addresses, processes: Processes, narrator: Narrator) -> None:
        self.folder = folder
        self.addresses = addresses
        self.processes = processes
        self._narrator = narrator

    def start(self) -> None:
        """Start everything and deploy the flows. Raises DemoFailed naming the log of what did not start."""
        self._start_local_azure()
        self.processes.start("prefect server", [str(_BIN / "prefect"), "server", "start"])
        with ThreadPoolExecutor(1) as beside:
            warmed = beside.submit(_import_sdks)
            self._wait("prefect server", f"{self.addresses.prefect_api}/health", "the Prefect server answers")
            self._narrator.step(f"Prefect server up; its UI: {self.addresses.prefect}")
            worker = [str(_BIN / "prefect"), "worker", "start", "--pool", POOL, "--type", "anew-in-process"]
            self.processes.start("worker", worker)
            self.start_webhook()
            self._wait("worker", f"{self.addresses.prefect_api}/work_pools/{POOL}", "the worker made its pool")
            self.processes.run("prefect deploy", [str(_BIN / "prefect"), "--no-prompt", "deploy", "--all"])
            warmed.result()
        self._narrator.step("Worker and webhook up, flows deployed from prefect.yaml")

    def _start_local_azure(self) -> None:
        port = self.addresses.local_azure.rpartition(":")[2]
        folder = str(self.folder / "local-azure")
        self.processes.start("local azure", [str(_BIN / "anew"), "emulator", "--port", port, "--folder", folder])
        self._wait("local azure", f"{self.addresses.local_azure}/emulator/health", "local Azure answers")
        self._narrator.step(f"Local Azure up at {self.addresses.local_azure}")

    def start_webhook(self) -> None:
        """Start the webhook and wait until it can keep events."""
        self.processes.start("webhook", [str(_BIN / "anew"), "serve"])
        self._wait("webhook", f"{self.addresses.webhook}/readyz", "the webhook is ready")

    def _wait(self, name: str, url: str, what: str) -> None:
        with self._narrator.waiting(f"waiting until {what}"):
            self.processes.wait_until(name, lambda: _answers(url), what)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _import_sdks() -> None:
    """Import the Azure SDKs (seconds) while the Prefect server starts (seconds)."""
    for name in ("azure.ai.ml", "azure.mgmt.datafactory", "azure.mgmt.eventgrid"):
        importlib.import_module(name)
