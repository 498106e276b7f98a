"""Drifting data: streams of labelled rows that advance by one batch at a time, and the monitors that watch them.

For each batch, a stream scores the rows on the endpoint, compares the labels, appends the rows to the file in the
workspace's datastore, logs accuracy and drift, and lets the monitor report.
"""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pydantic
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, ArmError, arm_route, not_found
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document
from anew.emulator.monitors.runs import Monitor, Observation, log_metric, report

if TYPE_CHECKING:
    from anew.emulator.workloads.table import Table

STREAMS: Final = "stream"
DATA_FOLDER: Final = Path(__file__).parents[1] / "data"
_DEFAULT_BASELINE_BATCHES: Final = 8


class StreamRequest(pydantic.BaseModel, frozen=True):
    """A stream to create; source is a shipped data set's name or the path of a Parquet or CSV file."""

    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    source: str
    label: str
    batch_rows: int = pydantic.Field(gt=0)
    history_batches: int = pydantic.Field(gt=0)
    workspace_id: str | None = None


class AdvanceRequest(pydantic.BaseModel, frozen=True):
    """How far to advance, which endpoint scores, and which monitor watches."""

    batches: int = pydantic.Field(gt=0)
    workspace_id: str
    model: str
    endpoint: str
    monitor: Monitor | None = None


class BaselineRequest(pydantic.BaseModel, frozen=True):
    """Where the drift baseline ends, in batches since the stream began (default: now), and how many rows it has."""

    end_batch: int | None = pydantic.Field(default=None, gt=0)
    rows: int | None = pydantic.Field(default=None, gt=0)


@dataclass(frozen=True)
class _Batch:
    """One batch of a stream: its number, its rows, the rows drift is measured against, and the time it covers."""

    number: int
    rows: "Table"
    baseline: "Table"
    start: datetime


class World:
    """The streams of one cloud; they move one at a time."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()

    def create(self, call: ArmCall) -> Response:
        """Create a stream, with its history in the datastore."""
        request = call.parsed(StreamRequest)
        source = _source_path(request.source)
        document: Document = {
            **request.model_dump(),
            "source": str(source),
            "path": f"streams/{request.name}.parquet",
            "next_batch": request.history_batches,
            "baseline": {"end_batch": request.history_batches, "rows": None},
            "advanced_at": timestamp(),
        }
        total = len(_read(source, request.label)) // request.batch_rows
        if request.history_batches > total:
            raise ArmError(400, "BadRequest", f"The source holds {total} batches of {request.batch_rows} rows.")
        with self._lock:
            self._write_rows(document)
            self._cloud.store.put(STREAMS, request.name, document)
        self._cloud.journal("stream.created", name=request.name)
        return JSONResponse(document, 201)

    def get(self, call: ArmCall) -> Response:
        """The state of a stream."""
        return JSONResponse(self._stream(call.param("name")))

    def advance(self, call: ArmCall) -> Response:
        """Advance a stream by some batches."""
        request = call.parsed(AdvanceRequest)
        name = call.param("name")
        with self._lock:
            stream = self._stream(name)
            table = _read(Path(stream["source"]), stream["label"])
            left = len(table) // stream["batch_rows"] - stream["next_batch"]
            if request.batches > left:
                raise ArmError(400, "StreamExhausted", f"The stream '{name}' has {left} batches left.")
            following = range(request.batches - 1, -1, -1)
            return JSONResponse({"batches": [self._advance_one(stream, table, request, later) for later in following]})

    def reset_baseline(self, call: ArmCall) -> Response:
        """Choose other rows as the baseline of drift."""
        request = call.parsed(BaselineRequest)
        with self._lock:
            stream = self._stream(call.param("name"))
            end = request.end_batch or stream["next_batch"]
            if end > stream["next_batch"]:
                raise ArmError(400, "BadRequest", f"The stream has only {stream['next_batch']} batches so far.")
            stream["baseline"] = {"end_batch": end, "rows": request.rows}
            return JSONResponse(self._cloud.store.put(STREAMS, stream["name"], stream))

    def _stream(self, name: str) -> Document:
        if (stream := self._cloud.store.get(STREAMS, name)) is None:
            raise not_found(f"/emulator/streams/{name}")
        return stream

    def _advance_one(self, stream: Document, table: "Table", request: AdvanceRequest, later: int) -> Document:
        batch = _next_batch(stream, table, request.monitor)
        accuracy, deployment = self._score(batch.rows, request)
        stream["next_batch"] += 1
        stream["advanced_at"] = timestamp()
        self._write_rows(stream)
        self._cloud.store.put(STREAMS, stream["name"], stream)
        properties = {
            "model": request.model,
            "endpoint": request.endpoint,
            "deployment": deployment,
            "batch": str(batch.number),
        }
        log_metric(self._cloud, "accuracy", accuracy, properties)
        seen = _observe(batch, request.monitor, later)
        event_id = report(self._cloud, request.workspace_id, request.monitor, seen) if request.monitor else None
        return {
            "batch": batch.number,
            "accuracy": accuracy,
            "drift_coefficient": seen.coefficient,
            "rows": len(batch.rows),
            "deployment": deployment,
            "event_id": event_id,
        }

    def _score(self, rows: "Table", request: AdvanceRequest) -> tuple[float, str]:
        # Imported here because scoring is not needed before a stream advances.
        from anew.emulator.endpoints.scoring import score

        predictions, deployment = score(
            self._cloud, request.workspace_id, request.endpoint, list(rows.columns), rows.features.tolist()
        )
        hits = sum(int(guess == label) for guess, label in zip(predictions, rows.labels.tolist(), strict=True))
        return hits / len(rows), deployment

    def _write_rows(self, stream: Document) -> None:
        """Write the file with every row up to now; it replaces the old one at once, because a job may be reading it."""
        from anew.emulator.workloads.table import read_frame

        target = self._cloud.folder / "datastores" / "workspaceblobstore" / stream["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        frame = read_frame(Path(stream["source"]))
        frame.iloc[: stream["next_batch"] * stream["batch_rows"]].to_parquet(partial, index=False)
        partial.replace(target)


def routes(cloud: Cloud) -> list[Route]:
    """The control routes of streams, and the one that publishes an event unchanged."""
    world = cloud.service(World)
    return [
        arm_route("/emulator/streams", "POST", world.create),
        arm_route("/emulator/streams/{name}", "GET", world.get),
        arm_route("/emulator/streams/{name}/advance", "POST", world.advance),
        arm_route("/emulator/streams/{name}/baseline", "PUT", world.reset_baseline),
        arm_route("/emulator/events", "POST", lambda call: _publish(cloud, call)),
    ]


def _publish(cloud: Cloud, call: ArmCall) -> Response:
    missing = {"id", "topic", "eventType", "subject", "eventTime", "data"} - call.body.keys()
    if missing:
        raise ArmError(400, "BadRequest", f"The event lacks {', '.join(sorted(missing))}.")
    event: Document = {"dataVersion": "", "metadataVersion": "1", **call.body}
    cloud.publish(event)
    return JSONResponse({"id": event["id"]})


def _observe(batch: _Batch, monitor: Monitor | None, later: int) -> Observation:
    from anew.emulator.monitors.monitors import Reading, drift_coefficient, feature_readings

    coefficient = drift_coefficient(batch.baseline.features, batch.rows.features, seed=batch.number)
    readings: list[Reading] = []
    if monitor is not None and monitor.kind == "model":
        names, baseline, current = batch.rows.columns, batch.baseline.features, batch.rows.features
        readings = feature_readings(names, baseline, current, metric=monitor.metric, threshold=monitor.threshold)
    return Observation(coefficient, readings, batch.start, datetime.now(UTC), later)


def _next_batch(stream: Document, table: "Table", monitor: Monitor | None) -> _Batch:
    size, number = stream["batch_rows"], stream["next_batch"]
    baseline_rows = stream["baseline"]["rows"] or (
        monitor.baseline_rows if monitor else _DEFAULT_BASELINE_BATCHES * size
    )
    end = stream["baseline"]["end_batch"] * size
    return _Batch(
        number,
        table.window(number * size, (number + 1) * size),
        table.window(max(0, end - baseline_rows), end),
        datetime.fromisoformat(stream["advanced_at"]),
    )


def _source_path(source: str) -> Path:
    shipped = DATA_FOLDER / f"{source}.parquet"
    path = shipped if shipped.parent == DATA_FOLDER and shipped.is_file() else Path(source)
    if path.suffix not in (".parquet", ".csv") or not path.is_file():
        raise ArmError(400, "BadRequest", f"'{source}' is neither a shipped data set nor a Parquet or CSV file.")
    return path


def _read(path: Path, label: str) -> "Table":
    from anew.emulator.workloads.table import read_table

    try:
        return read_table(path, label)
    except ValueError as error:
        raise ArmError(400, "BadRequest", str(error)) from error
