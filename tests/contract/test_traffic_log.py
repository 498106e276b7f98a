"""The obligations of TrafficLog, as in engine/base/ports.py, in memory and through Log Analytics' query API."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from anew.adapters.azure.monitor.log_analytics import LogAnalytics
from anew.adapters.azure.monitor.traffic_log import LogAnalyticsTraffic
from anew.adapters.memory.azure import MemoryAzure
from anew.adapters.memory.traffic_log import AnsweredRequest, MemoryTrafficLog
from anew.core.rollouts.histograms import latency_bound, latency_index, score_bound, score_index
from anew.core.rollouts.traffic import RequestStats
from anew.emulator.endpoints.logs import CONSOLE_LOG, TRAFFIC_LOG, answered, printed, score_line
from anew.emulator.endpoints.online_endpoints import endpoint_key
from anew.engine.base.ports import TrafficLog
from anew.errors import AzureRefused, TemporaryError
from tests.contract.azure_worlds import real_clients
from tests.emulator.support import WORKSPACE_ID

CONTRACT = {TrafficLog: (MemoryTrafficLog, LogAnalyticsTraffic)}

SINCE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
UNTIL = SINCE + timedelta(minutes=10)


@dataclass(frozen=True)
class World:
    """The port, how an answer gets into the log, and how the log stops answering for a while."""

    log: TrafficLog
    answer: Callable[[AnsweredRequest], None]
    silence: Callable[[bool], None]


@contextmanager
def memory_world() -> Generator[World]:
    azure = MemoryAzure()
    log = MemoryTrafficLog(azure)

    def silence(down: bool) -> None:
        azure.down = {"traffic_log.read"} if down else set()

    yield World(log, log.answers.append, silence)


@contextmanager
def local_azure_world(folder: Path) -> Generator[World]:
    with real_clients(folder) as clients:
        cloud, control = clients.azure.cloud, clients.azure.control

        def answer(each: AnsweredRequest) -> None:
            endpoint = {"id": endpoint_key(WORKSPACE_ID, each.endpoint), "name": each.endpoint}
            row = answered(endpoint, each.deployment, each.code, milliseconds=each.milliseconds, at=each.at)
            cloud.log(TRAFFIC_LOG, row)
            if each.scores:
                scores = each.scores[0] if len(each.scores) == 1 else list(each.scores)
                cloud.log(CONSOLE_LOG, printed(endpoint, each.deployment, score_line(scores), at=each.at))

        def silence(down: bool) -> None:
            control.set_modes(log_query_partial_rows=int(down))

        yield World(LogAnalyticsTraffic(clients.log_analytics), answer, silence)


@pytest.fixture(scope="module", params=["memory", "local-azure"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    made = memory_world() if request.param == "memory" else local_azure_world(tmp_path_factory.mktemp("traffic"))
    with made as ready:
        yield ready


@pytest.fixture
def name() -> str:
    """An endpoint that no other test of the same world uses."""
    return f"t{uuid4().hex[:8]}"


def read(world: World, endpoint: str, *deployments: str, scores: bool = False) -> dict[str, RequestStats]:
    return dict(world.log.read(endpoint, deployments, SINCE, UNTIL, scores=scores))


def test_window_is_half_open(world: World, name: str) -> None:
    """A window includes its start and excludes its end."""
    for at in (SINCE - timedelta(milliseconds=1), SINCE, UNTIL - timedelta(milliseconds=1), UNTIL):
        world.answer(AnsweredRequest(name, "blue", at, 40))

    assert read(world, name, "blue")["blue"].requests == 2


def test_silent_deployment_has_zero_requests(world: World, name: str) -> None:
    """A deployment without traffic has zero requests."""
    world.answer(AnsweredRequest(name, "blue", SINCE, 40))

    assert read(world, name, "blue", "green")["green"] == RequestStats()
    assert read(world, name) == {}


def test_other_deployments_are_not_counted(world: World, name: str) -> None:
    """Requests to other deployments and endpoints are not counted."""
    world.answer(AnsweredRequest(name, "blue", SINCE, 40, scores=(1.0,)))
    world.answer(AnsweredRequest(name, "red", SINCE, 40, scores=(1.0,)))
    world.answer(AnsweredRequest(f"{name}-other", "blue", SINCE, 40, scores=(1.0,)))
    world.answer(AnsweredRequest(f"x{name}", "blue", SINCE, 40, scores=(1.0,)))

    found = read(world, name, "blue", scores=True)

    assert found.keys() == {"blue"}
    assert (found["blue"].requests, sum(found["blue"].scores.values())) == (1, 1)


@pytest.mark.parametrize(
    ("code", "errors"), [(200, 0), (400, 0), (401, 0), (408, 1), (424, 1), (429, 1), (500, 1), (503, 1)]
)
def test_errors_are_deployment_faults(world: World, name: str, code: int, errors: int) -> None:
    """The codes 408, 424, 429 and 5xx count as errors, and only a success has a latency."""
    world.answer(AnsweredRequest(name, "blue", SINCE, 40, code))

    found = read(world, name, "blue")["blue"]

    assert (found.requests, found.errors) == (1, errors)
    assert sum(found.latencies.values()) == (1 if code == 200 else 0)


def test_latencies_are_counted_by_bucket(world: World, name: str) -> None:
    """Latencies are counted under the bound of their bucket."""
    times = [0, 1, 2, 19, 20, 21, 40, 40, 41, 100, 105, 999, 1000, 60_000]
    for milliseconds in times:
        world.answer(AnsweredRequest(name, "blue", SINCE, milliseconds))

    found = read(world, name, "blue")["blue"].latencies

    expected: dict[float, int] = {}
    for milliseconds in times:
        bound = latency_bound(latency_index(milliseconds))
        expected[bound] = expected.get(bound, 0) + 1
    assert dict(found) == expected


def test_scores_are_counted_by_bucket(world: World, name: str) -> None:
    """Scores are counted under the bound of their bucket, and only on request."""
    scores = [0.0, 1.0, 0.07, 0.071, 0.5, -0.5, -1.0, 1.04, 7.5, -3.0, 250_000.0, -1e-7]
    for score in scores[:4]:
        world.answer(AnsweredRequest(name, "blue", SINCE, 40, scores=(score,)))
    world.answer(AnsweredRequest(name, "blue", SINCE, 40, scores=scores[4:]))
    world.answer(AnsweredRequest(name, "blue", SINCE, 40))

    found = read(world, name, "blue", scores=True)["blue"].scores

    expected: dict[float, int] = {}
    for score in scores:
        bound = score_bound(score_index(score))
        expected[bound] = expected.get(bound, 0) + 1
    assert dict(found) == expected
    assert read(world, name, "blue")["blue"].scores == {}


def test_unavailable_log_raises_temporary_error(world: World, name: str) -> None:
    """A log that is unavailable raises a TemporaryError."""
    world.answer(AnsweredRequest(name, "blue", SINCE, 40))
    world.silence(True)
    try:
        with pytest.raises(TemporaryError):
            read(world, name, "blue")
    finally:
        world.silence(False)


# --- the query itself -------------------------------------------------------------------------------------


def test_score_follows_a_log_prefix(tmp_path: Path) -> None:
    """A score is found after the prefix of a logger, and other lines are ignored."""
    with real_clients(tmp_path) as clients:
        endpoint = {"id": endpoint_key(WORKSPACE_ID, "fraud"), "name": "fraud"}
        clients.azure.cloud.log(TRAFFIC_LOG, answered(endpoint, "blue", 200, milliseconds=40, at=SINCE))
        for line in ('INFO scored {"anew_score": 0.25}', "loading", '{"anew_score": "high"}', "anew_score 1"):
            clients.azure.cloud.log(CONSOLE_LOG, printed(endpoint, "blue", line, at=SINCE))

        found = LogAnalyticsTraffic(clients.log_analytics).read("fraud", ["blue"], SINCE, UNTIL, scores=True)

    assert found["blue"].scores == {0.25: 1}


@pytest.mark.parametrize("bad", ['blue"', "blue) | take 1", "", "a b"])
def test_invalid_name_reaches_no_query(bad: str) -> None:
    """A name with characters that a name cannot have is refused before any query."""
    log = LogAnalyticsTraffic(LogAnalytics(lambda: pytest.fail("asked"), "workspace"))

    with pytest.raises(AzureRefused):
        log.read("fraud", [bad], SINCE, UNTIL, scores=False)
