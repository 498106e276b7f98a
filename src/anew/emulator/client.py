"""A typed client of the control API of local Azure, for demos and tests; real Azure has no such API."""

from datetime import datetime
from types import TracebackType
from typing import Any, Literal, NotRequired, Self, TypedDict, cast

import httpx

from anew.emulator.base.state import Document


class JournalEntry(TypedDict):
    """One effect that local Azure noted; the action decides which other keys it has."""

    seq: int
    at: str
    action: str
    name: NotRequired[str]
    status: NotRequired[str]


class Monitor(TypedDict):
    """The monitor that watches a stream while it advances; the event of a silent one is lost."""

    kind: Literal["dataset", "model"]
    name: str
    threshold: float
    baseline_rows: int
    silent: NotRequired[bool]
    metric: NotRequired[Literal["JensenShannonDistance", "NormalizedWassersteinDistance", "PopulationStabilityIndex"]]


class Batch(TypedDict):
    """The result of one batch of a stream."""

    batch: int
    accuracy: float
    drift_coefficient: float
    rows: int
    deployment: str
    event_id: str | None


class FaultRule(TypedDict):
    """One rule of ``set_faults``: the requests, how often they fail, and how. Times are in seconds."""

    kind: Literal["status", "reset", "slow", "hang"]
    methods: NotRequired[list[str]]
    path: NotRequired[str]
    probability: NotRequired[float]
    times: NotRequired[int]
    when: NotRequired[Literal["before", "after"]]
    status: NotRequired[int]
    retry_after: NotRequired[float]
    seconds: NotRequired[float]


class ArmMinute(TypedDict):
    """The requests of one principal to Azure Resource Manager in one minute; a throttled one is in its class too."""

    minute: str
    principal: str
    reads: int
    writes: int
    deletes: int
    queries: int
    throttled: int


class SentTraffic(TypedDict):
    """The results of simulated requests by deployment; `harmed` callers got an error."""

    endpoint: str
    requests: int
    answered: dict[str, int]
    mirrored: dict[str, int]
    errors: dict[str, int]
    mirrored_errors: dict[str, int]
    harmed: int


class LocalAzure:
    """The control API at base_url; every method raises httpx.HTTPStatusError when local Azure refuses."""

    def __init__(self, base_url: str, *, timeout: float = 120.0) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> Document:
        """Whether local Azure answers, and when it was started."""
        return self._call("GET", "/emulator/health")

    def journal(self, action: str | None = None, *, after: int = -1) -> list[JournalEntry]:
        """The noted effects, oldest first: those of one action if given, and only those with a seq above after."""
        params: dict[str, str] = {"after": str(after)} | ({"action": action} if action else {})
        return cast(list[JournalEntry], self._call("GET", "/emulator/journal", params=params)["value"])

    def job_metrics(self, name: str) -> dict[str, float]:
        """The metrics a job logged."""
        return cast(dict[str, float], self._call("GET", f"/emulator/jobs/{name}/metrics")["metrics"])

    def set_faults(self, *rules: FaultRule, seed: int = 0) -> Document:
        """Let requests fail by these rules, which replace those before and survive a restart."""
        return self._call("PUT", "/emulator/faults", json={"seed": seed, "rules": list(rules)})

    def clear_faults(self) -> None:
        """Remove all rules, so that no request fails."""
        self._call("DELETE", "/emulator/faults")

    def arm_requests(self, since: datetime | None = None) -> list[ArmMinute]:
        """How many requests Azure Resource Manager got since a moment, or since it started: by minute and principal."""
        params = {"since": since.isoformat()} if since else None
        return cast(list[ArmMinute], self._call("GET", "/emulator/arm/requests", params=params)["value"])

    def set_modes(self, **modes: Any) -> Document:
        """Change how local Azure behaves, e.g. ``async_operations=True``; returns all modes in force."""
        return self._call("PUT", "/emulator/modes", json=modes)

    def create_stream(
        self,
        name: str,
        *,
        source: str,
        label: str,
        batch_rows: int,
        history_batches: int,
        workspace_id: str | None = None,
    ) -> Document:
        """Create a stream of labelled rows from a data set; its first history_batches batches are in the past."""
        body: Document = {"name": name, "source": source, "label": label, "workspace_id": workspace_id or None}
        body |= {"batch_rows": batch_rows, "history_batches": history_batches}
        return self._call("POST", "/emulator/streams", json=body)

    def advance_stream(
        self,
        name: str,
        *,
        batches: int,
        workspace_id: str,
        model: str,
        endpoint: str,
        monitor: Monitor | None = None,
    ) -> list[Batch]:
        """Let batches of time pass: score them on the endpoint, log accuracy and drift, and run the monitor."""
        body: Document = {"batches": batches, "workspace_id": workspace_id, "model": model, "endpoint": endpoint}
        answer = self._call("POST", f"/emulator/streams/{name}/advance", json=body | {"monitor": monitor or None})
        return cast(list[Batch], answer["batches"])

    def stream(self, name: str) -> Document:
        """The state of a stream."""
        return self._call("GET", f"/emulator/streams/{name}")

    def reset_baseline(self, name: str, *, end_batch: int | None = None, rows: int | None = None) -> Document:
        """Move a stream's drift baseline, as deploying a newly trained model does: to the rows before end_batch."""
        return self._call("PUT", f"/emulator/streams/{name}/baseline", json={"end_batch": end_batch, "rows": rows})

    def observe(
        self, workspace_id: str, *, kind: Literal["dataset", "model"], name: str, value: float, publish: bool = True
    ) -> list[Document]:
        """Let a monitor (threshold 0.3) observe a value; returns its events, which are published if publish is true."""
        body: Document = {"workspace_id": workspace_id, "kind": kind, "name": name, "value": value, "publish": publish}
        return cast("list[Document]", self._call("POST", "/emulator/observations", json=body)["events"])

    def set_behaviour(
        self,
        model: str,
        version: str,
        *,
        error_rate: float = 0.0,
        crash_share: float = 0.0,
        latency_ms: float = 40.0,
        latency_p95_ms: float = 80.0,
        score_mean: float = 0.5,
        score_sd: float | None = 0.15,
    ) -> Document:
        """Set how deployments of this version answer simulated traffic: the shares of requests and of inputs that fail,
        the median and 95th percentile of the latency, and the scores that they print; none if score_sd is None.
        """
        body: Document = {
            "error_rate": error_rate,
            "crash_share": crash_share,
            "latency_ms": latency_ms,
            "latency_p95_ms": latency_p95_ms,
            "score_mean": score_mean,
            "score_sd": score_sd,
        }
        return self._call("PUT", f"/emulator/behaviours/{model}/{version}", json=body)

    def send_traffic(
        self, workspace_id: str, endpoint: str, *, requests: int, start: datetime, end: datetime, seed: int = 0
    ) -> SentTraffic:
        """Simulate requests at random times in [start, end), divided by the endpoint's current split."""
        body: Document = {
            "workspace_id": workspace_id,
            "endpoint": endpoint,
            "requests": requests,
            "start": start.isoformat(),
            "end": end.isoformat(),
            "seed": seed,
        }
        return cast(SentTraffic, self._call("POST", "/emulator/traffic", json=body))

    def publish(self, event: Document) -> Document:
        """Publish an event (Event Grid schema) unchanged."""
        return self._call("POST", "/emulator/events", json=event)

    def entra_token(
        self, tenant: str, audience: str, *, version: Literal[1, 2] = 1, claims: Document | None = None
    ) -> str:
        """A token like Event Grid's for this audience; *claims* replaces some of its own, and None removes one."""
        body: Document = {"tenant": tenant, "audience": audience, "version": version, "claims": claims or {}}
        return cast(str, self._call("POST", "/emulator/entra/tokens", json=body)["access_token"])

    def rotate_entra_key(self) -> str:
        """Sign tokens with a new key from now on; returns its id. The earlier keys stay published."""
        return cast(str, self._call("POST", "/emulator/entra/keys")["kid"])

    def withdraw_entra_key(self, kid: str) -> None:
        """Stop publishing a key."""
        self._call("DELETE", f"/emulator/entra/keys/{kid}")

    def _call(
        self, method: str, path: str, *, json: Document | None = None, params: dict[str, str] | None = None
    ) -> Document:
        response = self._http.request(method, path, json=json, params=params)
        response.raise_for_status()
        return cast(Document, response.json()) if response.content else {}
