"""Airflow 3.3 in a venv of its own: scheduler, DAG processor, API server and triggerer, on SQLite."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from anew.demo.processes import Processes, free_port
from bench.peers.azure import answers
from bench.peers.factory import SUBSCRIPTION, URL_VARIABLE

VENV = Path(".anew/peers/airflow")
WARM_DAG, DAG = "warm", "waiting"
_START_SECONDS = 300
_UV = Path(".uv/bin/uv")
_SIDE = Path(__file__).with_name("airflow_side")
_REQUIREMENTS = ("apache-airflow==3.3.*", "apache-airflow-providers-microsoft-azure")
_PACKAGES = ("apache-airflow", "apache-airflow-providers-microsoft-azure", "azure-mgmt-datafactory")
# Of the ways the hook offers, a service principal is the one whose credential object is the smallest.
_CONNECTION = {
    "conn_type": "azure_data_factory",
    "login": "client",
    "password": "none",
    "extra": {"tenantId": "tenant", "subscriptionId": SUBSCRIPTION},
}

_SUCCEEDED = re.compile(r"The pipeline run ([0-9a-f-]{36}) has Succeeded")
_OF_DAG = "select count(*) from task_instance where dag_id = ?"

Parameters = Sequence[Mapping[str, Any]]


def prepare_venv() -> dict[str, str]:
    """Make the venv if there is none, point its Azure SDK at local Azure, and return the versions in it."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([_UV, "venv", "--quiet", "--python", sys.executable, VENV], check=True)
        subprocess.run([_UV, "pip", "install", "--quiet", "--python", python, *_REQUIREMENTS], check=True)
    sdk = next(VENV.glob("lib/python*/site-packages/azure/mgmt/datafactory"))
    for package in (sdk, sdk / "aio"):
        # uv links files from its cache: a copy in place would change the cache, and every venv made from it.
        (package / "_patch.py").unlink()
        shutil.copy(_SIDE / "sdk_patch.py", package / "_patch.py")
    ask = f"import json, importlib.metadata as m; print(json.dumps({{p: m.version(p) for p in {_PACKAGES!r}}}))"
    return json.loads(subprocess.run([python, "-c", ask], check=True, capture_output=True).stdout)


@dataclass(frozen=True)
class Airflow:
    """A running Airflow."""

    home: Path
    processes: Processes
    environment: Mapping[str, str]

    def trigger(self, dag_id: str) -> None:
        """Start a run of a DAG."""
        self._run("airflow", "dags", "trigger", dag_id)

    def defer(self, dag_id: str, run_ids: Sequence[str]) -> None:
        """Put a run of a DAG into the state in which each of its tasks waits for one pipeline run."""
        self._run("python", str(_SIDE / "defer.py"), dag_id, given=json.dumps(run_ids))

    def waiting(self) -> int:
        """How many triggers the triggerer has taken."""
        return self._count("select count(*) from trigger where triggerer_id is not null")

    def succeeded(self, dag_id: str) -> int:
        """How many tasks of a DAG are done."""
        return self._count(f"{_OF_DAG} and state = 'success'", dag_id)

    def knows(self, dag_ids: Iterable[str]) -> bool:
        """Whether the DAG processor has stored the DAGs."""
        count = "select count(*) from serialized_dag where dag_id = ?"
        return all(self._count(count, dag_id) for dag_id in dag_ids)

    def fired(self) -> dict[str, datetime]:
        """When the trigger of each task, by its map index, had fired and its event was recorded.

        Not from the triggerer's logs: 3.3 closes a trigger's log as it ends, and the last lines may be missing.
        """
        query = "select map_index, scheduled_dttm from task_instance where dag_id = ?"
        return {str(index): datetime.fromisoformat(f"{at}+00:00") for index, at in self._rows(query, DAG)}

    def resumed(self) -> dict[str, datetime]:
        """When the task of each pipeline run, by the run's id, was running again and told the result."""
        found: dict[str, datetime] = {}
        for path in self.home.glob(f"logs/dag_id={DAG}/**/attempt=1.log"):
            for line in path.read_text().splitlines():
                if run := _SUCCEEDED.search(line):
                    found[run[1]] = datetime.fromisoformat(json.loads(line)["timestamp"])
        return found

    def gave_up(self) -> int:
        """How many triggers gave up on their run, for an error of their own."""
        return self._count(f"""{_OF_DAG} and next_kwargs like '%"status": "error"%'""", DAG)

    def _count(self, query: str, *values: str) -> int:
        return int(self._rows(query, *values)[0][0])

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=60)) as database:
            return database.execute(query, values).fetchall()

    def _run(self, program: str, *arguments: str, given: str | None = None) -> None:
        command = [str(VENV / "bin" / program), *arguments]
        environment = {**os.environ, **self.environment}
        subprocess.run(command, env=environment, input=given, text=True, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def run_airflow(folder: Path, azure_url: str, dags: Mapping[str, Parameters]) -> Generator[Airflow]:
    """Airflow with one DAG for each entry, a mapped task for each of its parameters, until the block ends."""
    home, logs, port = folder / "airflow", folder / "airflow-logs", free_port()
    logs.mkdir()
    told = _environment(home, port, azure_url, dags)
    airflow = str((VENV / "bin" / "airflow").absolute())
    with Processes(logs, told) as processes:
        processes.run("migrate", [airflow, "db", "migrate"])
        processes.start("api server", [airflow, "api-server"])
        processes.start("dag processor", [airflow, "dag-processor"])
        processes.start("scheduler", [airflow, "scheduler", "--skip-serve-logs"])
        processes.start("triggerer", [airflow, "triggerer", "--skip-serve-logs"])
        url = f"http://127.0.0.1:{port}/api/v2/version"
        processes.wait_until("api server", lambda: answers(url), "the API server answers", _START_SECONDS)
        stack = Airflow(home, processes, told)
        processes.wait_until("dag processor", lambda: stack.knows(dags), "the DAGs are stored", _START_SECONDS)
        yield stack


def _environment(home: Path, port: int, azure_url: str, dags: Mapping[str, Parameters]) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_SIDE / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "peers" * 8,
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT": json.dumps(_CONNECTION),
        "PEERS_DAGS": json.dumps(dags),
        URL_VARIABLE: azure_url,
    }
