"""The Prefect server over its REST API.

Plain HTTP, because importing Prefect costs a process two seconds and 90 MB, and the webhook needs three requests.
Prefect answers 204 for an event when it is in a memory queue, not when it is stored: a hint may be lost.
"""

import json
import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid5

import httpx
import stamina

from anew.core.events.event import Event
from anew.core.events.fields import parse_time
from anew.core.events.handling import CAUSES_OF
from anew.core.events.serialization import event_line
from anew.errors import PrefectUnavailable

MAX_PAYLOAD = 200_000  # bytes; a flow run takes at most 524,288 bytes of parameters
RESOURCE_PREFIX = "azureml.workspace"
FLOW_LABEL = "anew.flow"

_HINT_IDS = UUID("3b0e6b7e-6a43-5a55-9b5c-1f0f4c1a7d11")
_PASSING = frozenset({429, 502, 503, 504})
_ATTEMPTS = 3
_PATIENCE = 8.0  # seconds for all attempts of one call; the relay asks again anyway
_MOST_RUNS = 200  # the server's own limit for a page
_ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING"]
_START_ADVICE = "Run: prefect server start"
_DEPLOY_ADVICE = "Run: prefect --no-prompt deploy --all"


@dataclass(frozen=True, slots=True)
class FlowRunView:
    """A flow run as Prefect shows it. `state` is its name (Completed, Crashed, ...), None before it has one."""

    id: str
    name: str
    deployment: str
    state: str | None
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    parameters: Mapping[str, Any]


class PrefectFlows:
    """`Flows` on a Prefect server. *auth* is the server's `user:password`; safe to use from several threads."""

    def __init__(
        self,
        api_url: str,
        auth: str | None = None,
        *,
        timeout: timedelta = timedelta(seconds=5),
        attempts: int = _ATTEMPTS,
    ) -> None:
        self._attempts = attempts
        self._url = api_url.rstrip("/")
        user, _, password = (auth or "").partition(":")
        self._http = httpx.Client(
            base_url=self._url, timeout=timeout.total_seconds(), auth=(user, password) if auth else None
        )
        self._deployments: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def hint(self, event: Event) -> None:
        """Emit one Prefect event under the Azure event's type. Raises PrefectUnavailable."""
        self.emit(prefect_event(event))

    def emit(self, event: Mapping[str, Any]) -> None:
        """Emit one Prefect event, whose `id` makes it one however often it is sent. Raises PrefectUnavailable."""
        self._call("POST", "/events", [event])

    def start(self, deployment: str, idempotency_key: str, parameters: Mapping[str, Any]) -> str:
        """Create the flow run of this key, or find it, and return its id. Raises PrefectUnavailable."""
        body = {"idempotency_key": idempotency_key, "parameters": dict(parameters)}
        response = self._create_run(deployment, body)
        if response.status_code == 404:
            # Deleted and deployed again since we looked it up.
            self._deployments.pop(deployment, None)
            response = self._create_run(deployment, body)
        return str(self._good(response).json()["id"])

    def flow_runs(self, deployments: Collection[str], since: datetime) -> list[FlowRunView]:
        """At most 200 flow runs of these `flow/deployment` names expected since then, newest first.

        Raises PrefectUnavailable, also for a name that is not deployed.
        """
        return self._runs(deployments, {"expected_start_time": {"after_": since.astimezone(UTC).isoformat()}})

    def unfinished_runs(self, deployment: str) -> list[FlowRunView]:
        """At most 200 flow runs of this `flow/deployment` that have not ended. Raises PrefectUnavailable."""
        return self._runs([deployment], {"state": {"type": {"not_any_": _ENDED}}})

    def cancel_suspended(self, run_id: str, why: str) -> None:
        """Cancel a flow run, if it is suspended. Raises PrefectUnavailable."""
        if self._call("GET", f"/flow_runs/{run_id}").json()["state_name"] == "Suspended":
            state = {"type": "CANCELLED", "name": "Cancelled", "message": why}
            self._call("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": False})

    def ensure_pool(self, name: str, kind: str) -> None:
        """Create the work pool unless there is one; its worker fills in the details. Raises PrefectUnavailable."""
        response = self._send("POST", "/work_pools/", {"name": name, "type": kind})
        if response.status_code != 409:
            self._good(response)

    def schedule_every(self, deployment: str, seconds: float) -> None:
        """Give a deployment one more schedule, from now on. Raises PrefectUnavailable."""
        interval = {"interval": seconds, "anchor_date": datetime.now(UTC).isoformat()}
        path = f"/deployments/{self._deployment_id(deployment)}/schedules"
        self._call("POST", path, [{"schedule": interval, "active": True}])

    def ready(self) -> bool:
        """Whether the server answers just now."""
        try:
            return self._http.get("/health").is_success
        except httpx.TransportError:
            return False

    def wait_ready(
        self, timeout: timedelta = timedelta(minutes=1), on_progress: Callable[[timedelta], None] = lambda _: None
    ) -> None:
        """Wait until the server answers, telling *on_progress* how long it has been. Raises PrefectUnavailable."""
        began = time.monotonic()
        while not self.ready():
            waited = timedelta(seconds=time.monotonic() - began)
            if waited >= timeout:
                raise PrefectUnavailable(
                    f"no Prefect server at {self._url} after {waited.seconds} s", advice=_START_ADVICE
                )
            on_progress(waited)
            time.sleep(0.25)

    def _runs(self, deployments: Collection[str], which: Mapping[str, Any]) -> list[FlowRunView]:
        names = {self._deployment_id(name): name for name in deployments}
        query = {
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": _MOST_RUNS,
            "flow_runs": {"deployment_id": {"any_": list(names)}, **which},
        }
        return [_view(run, names) for run in self._call("POST", "/flow_runs/filter", query).json()]

    def _create_run(self, deployment: str, body: Mapping[str, Any]) -> httpx.Response:
        return self._send("POST", f"/deployments/{self._deployment_id(deployment)}/create_flow_run", body)

    def _deployment_id(self, deployment: str) -> str:
        if deployment not in self._deployments:
            response = self._send("GET", f"/deployments/name/{deployment}")
            if response.status_code == 404:
                raise PrefectUnavailable(f"Prefect has no deployment {deployment}", advice=_DEPLOY_ADVICE)
            self._deployments[deployment] = str(self._good(response).json()["id"])
        return self._deployments[deployment]

    def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        return self._good(self._send(method, path, body))

    def _send(self, method: str, path: str, body: object = None) -> httpx.Response:
        # Every request is safe to repeat: a hint has a fixed id, a flow run its idempotency key.
        with self._translated(path):
            for attempt in stamina.retry_context(
                on=_passes, attempts=self._attempts, timeout=_PATIENCE, wait_initial=0.1, wait_max=1.0
            ):
                with attempt:
                    response = self._http.request(method, path, json=body)
                    if response.status_code in _PASSING:
                        response.raise_for_status()
                    return response
        raise AssertionError("a retry context either returns or raises")

    def _good(self, response: httpx.Response) -> httpx.Response:
        with self._translated(response.request.url.path):
            return response.raise_for_status()

    @contextmanager
    def _translated(self, path: str) -> Generator[None]:
        try:
            yield
        except httpx.HTTPStatusError as error:
            status, text = error.response.status_code, error.response.text[:200]
            raise PrefectUnavailable(f"Prefect answered {status} to {path}: {text}") from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise PrefectUnavailable(f"no Prefect server at {self._url}: {reason}", advice=_START_ADVICE) from error


def prefect_event(event: Event) -> dict[str, Any]:
    """The Prefect event that tells of an Azure event; its id is the same whenever the same hint is repeated."""
    name = event.workspace.name
    flow = next((flow for flow, causes in CAUSES_OF.items() if event.cause in causes), "none")
    return {
        "id": str(uuid5(_HINT_IDS, f"{event.key}|{event.id}")),
        "event": event.type,
        "occurred": event.time.astimezone(UTC).isoformat(),
        "resource": {
            "prefect.resource.id": f"{RESOURCE_PREFIX}.{name}",
            "prefect.resource.name": name,
            "azureml.workspace.id": event.workspace.arm_id,
            FLOW_LABEL: flow,
        },
        "related": [],
        "payload": _payload(event),
    }


def _payload(event: Event) -> dict[str, Any]:
    line = event_line(event)
    if len(json.dumps(line)) <= MAX_PAYLOAD:
        return line
    # Only a person reads it; flows take the whole event from the ledger.
    drift = line["drift"] and line["drift"] | {"breaches": line["drift"]["breaches"][:100]}
    return line | {"tags": None, "drift": drift, "shortened": True}


def _passes(error: Exception) -> bool | float:
    if isinstance(error, httpx.HTTPStatusError):
        after = error.response.headers.get("Retry-After", "")
        return min(float(after), 2.0) if after.isdecimal() else error.response.status_code in _PASSING
    return isinstance(error, httpx.TransportError)


def _view(run: Mapping[str, Any], names: Mapping[str, str]) -> FlowRunView:
    return FlowRunView(
        id=run["id"],
        name=run["name"],
        deployment=names[run["deployment_id"]],
        state=run["state_name"],
        created=parse_time(run["created"]),
        started=parse_time(run["start_time"]),
        ended=parse_time(run["end_time"]),
        parameters=run["parameters"],
    )
