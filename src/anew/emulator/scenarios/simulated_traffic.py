"""Simulated requests: answers with known error rates, latencies and scores, logged like those to real requests.

For tests and benches. The endpoint's split divides the requests as it divides real ones. A test sets beforehand how the
deployments of a model version answer, and no model is loaded. A crash depends on the input: the same inputs crash a
model each time, live and mirrored.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pydantic
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, ArmError, arm_route, stored
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.base.uris import parse_versioned
from anew.emulator.endpoints.logs import CONSOLE_LOG, MODEL_ERROR, TRAFFIC_LOG, answered, printed, score_line
from anew.emulator.endpoints.online_endpoints import DEPLOYMENT_KIND, ENDPOINT_KIND, endpoint_key
from anew.emulator.endpoints.resources import deployment_key
from anew.emulator.endpoints.scoring import next_request
from anew.emulator.endpoints.traffic import FULL, choose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BEHAVIOUR_KIND: Final = "simulatedBehaviour"
INPUTS: Final = 1_000_000
_P95: Final = 1.6449  # standard deviations above the median
_GOLDEN: Final = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: multiples of it spread evenly


class Behaviour(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How the deployments of one model version answer. Latencies are lognormal, in milliseconds; scores normal.

    `error_rate` is a share of the requests, `crash_share` one of the inputs. Without `score_sd` no score is printed.
    """

    error_rate: float = pydantic.Field(default=0.0, ge=0, le=1)
    crash_share: float = pydantic.Field(default=0.0, ge=0, le=1)
    latency_ms: float = pydantic.Field(default=40.0, gt=0)
    latency_p95_ms: float = pydantic.Field(default=80.0, gt=0)
    score_mean: float = 0.5
    score_sd: float | None = pydantic.Field(default=0.15, ge=0)


class TrafficRequest(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A number of requests to an endpoint, at random times in [start, end)."""

    workspace_id: str
    endpoint: str
    requests: int = pydantic.Field(gt=0, le=INPUTS)
    start: pydantic.AwareDatetime
    end: pydantic.AwareDatetime
    seed: int = pydantic.Field(default=0, ge=0)


@dataclass(frozen=True)
class _Requests:
    """When each request comes, in seconds after the start, and the position of its input among all inputs, in 0..1."""

    first: int
    seconds: "NDArray[np.float64]"
    inputs: "NDArray[np.float64]"


@dataclass(frozen=True)
class _Answers:
    """The answers of one deployment to some of the requests, which their indexes name."""

    deployment: str
    indexes: "NDArray[np.int64]"
    failed: "NDArray[np.bool_]"
    milliseconds: "NDArray[np.float64]"
    scores: "NDArray[np.float64] | None"


def routes(cloud: Cloud) -> list[Route]:
    """The control routes of simulated traffic."""

    def put_behaviour(call: ArmCall) -> Response:
        behaviour = call.parsed(Behaviour, "BadArgument").model_dump()
        return JSONResponse(
            cloud.store.put(BEHAVIOUR_KIND, f"{call.param('model')}:{call.param('version')}", behaviour)
        )

    def post_traffic(call: ArmCall) -> Response:
        return JSONResponse(send_traffic(cloud, call.parsed(TrafficRequest, "BadArgument")))

    return [
        arm_route("/emulator/behaviours/{model}/{version}", "PUT", put_behaviour),
        arm_route("/emulator/traffic", "POST", post_traffic),
    ]


def send_traffic(cloud: Cloud, request: TrafficRequest) -> Document:
    """Log the answers to these requests, and return how many each deployment answered.

    The same seed, split and behaviours give the same answers to an endpoint that had as many requests before.

    Raises:
        ArmError: 404 without such an endpoint, or without live traffic.
    """
    import numpy as np

    endpoint = _endpoint(cloud, request)
    with cloud.store.transaction():
        first = next_request(cloud, endpoint["id"], request.requests)
        chance = np.random.default_rng([request.seed, first])
        span = (request.end - request.start).total_seconds()
        inputs = chance.integers(INPUTS, size=request.requests).astype(np.uint64) * np.uint64(_GOLDEN)
        drawn = _Requests(first, np.sort(chance.random(request.requests)) * span, inputs / 2.0**64)
        live, mirrored = (
            list(_answers(cloud, endpoint, endpoint["properties"][split], drawn, chance))
            for split in ("traffic", "mirrorTraffic")
        )
        for answers in (*live, *mirrored):
            _log(cloud, endpoint, request, drawn, answers)
        counts = _counts(request, live, mirrored)
        cloud.journal("traffic.simulated", **counts)
    return counts


def _endpoint(cloud: Cloud, request: TrafficRequest) -> Document:
    endpoint = stored(cloud, ENDPOINT_KIND, endpoint_key(request.workspace_id, request.endpoint))
    if not any(endpoint["properties"]["traffic"].values()):
        raise ArmError(404, "NotFound", f"The endpoint {request.endpoint} sends no traffic to any deployment.")
    return endpoint


def _answers(
    cloud: Cloud, endpoint: Document, split: Mapping[str, int], drawn: _Requests, chance: "np.random.Generator"
) -> Iterator[_Answers]:
    """The answers of each deployment of a split; a request's number decides who answers, as for real ones."""
    import numpy as np

    turns = (drawn.first + np.arange(len(drawn.seconds))) % FULL
    chosen = [choose(split, turn) for turn in range(FULL)]
    for deployment in sorted(name for name, share in split.items() if share):
        indexes = np.flatnonzero(np.array([name == deployment for name in chosen])[turns])
        behaviour, count = _behaviour(cloud, endpoint, deployment), len(indexes)
        failed = (chance.random(count) < behaviour.error_rate) | (drawn.inputs[indexes] < behaviour.crash_share)
        spread = max(0.0, math.log(behaviour.latency_p95_ms / behaviour.latency_ms)) / _P95
        milliseconds = chance.lognormal(math.log(behaviour.latency_ms), spread, count)
        sd = behaviour.score_sd
        scores = None if sd is None else chance.normal(behaviour.score_mean, sd, count)
        yield _Answers(deployment, indexes, failed, milliseconds, scores)


def _behaviour(cloud: Cloud, endpoint: Document, deployment: str) -> Behaviour:
    document = stored(cloud, DEPLOYMENT_KIND, deployment_key(endpoint["id"], deployment))
    model = parse_versioned(document["properties"]["model"])
    return Behaviour.model_validate(cloud.store.get(BEHAVIOUR_KIND, f"{model.name}:{model.version}") or {})


def _log(cloud: Cloud, endpoint: Document, request: TrafficRequest, drawn: _Requests, answers: _Answers) -> None:
    indexes = answers.indexes.tolist()
    times = [request.start + timedelta(seconds=second) for second in drawn.seconds[answers.indexes].tolist()]
    failed, milliseconds = answers.failed.tolist(), answers.milliseconds.tolist()
    rows = [
        answered(
            endpoint,
            answers.deployment,
            MODEL_ERROR if failure else 200,
            milliseconds=took,
            at=at,
            request_id=f"simulated-{drawn.first + index}",
        )
        for index, at, failure, took in zip(indexes, times, failed, milliseconds, strict=True)
    ]
    cloud.log_all(TRAFFIC_LOG, rows)
    if answers.scores is not None:
        scored = zip(times, failed, answers.scores.tolist(), strict=True)
        lines = [(at, score_line(score)) for at, failure, score in scored if not failure]
        cloud.log_all(CONSOLE_LOG, [printed(endpoint, answers.deployment, line, at=at) for at, line in lines])


def _counts(request: TrafficRequest, live: list[_Answers], mirrored: list[_Answers]) -> Document:
    """Counts by deployment; `harmed` are callers who got an error, so no mirrored request counts."""
    errors = Counter({each.deployment: int(each.failed.sum()) for each in live})
    return {
        "endpoint": request.endpoint,
        "requests": request.requests,
        "answered": {each.deployment: len(each.indexes) for each in live},
        "mirrored": {each.deployment: len(each.indexes) for each in mirrored},
        "errors": dict(errors),
        "mirrored_errors": {each.deployment: int(each.failed.sum()) for each in mirrored},
        "harmed": errors.total(),
    }
