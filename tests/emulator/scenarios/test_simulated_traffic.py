"""Simulated requests: shared as real ones are, answered as told, logged where real ones are, and quickly."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Any

import httpx
import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint

from anew.adapters.azure.monitor.traffic_log import LogAnalyticsTraffic
from anew.emulator.base.state import Document
from anew.emulator.client import SentTraffic
from tests.contract.azure_worlds import RealClients, real_clients
from tests.emulator.support import WORKSPACE_ID, deploy, register, save_threshold_model, set_traffic

ENDPOINT = "price-api"
START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    """An endpoint with blue, which is price:1, and green, which is price:2."""
    with real_clients(tmp_path_factory.mktemp("simulated")) as clients:
        clients.ml.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=ENDPOINT)).result()
        for version, name in (("1", "blue"), ("2", "green")):
            save_threshold_model(clients.azure, f"job-{name}", 0.5)
            register(clients.ml, "price", version, f"job-{name}")
            deploy(clients.ml, ENDPOINT, name, "price", version)
        yield clients


@pytest.fixture
def clients(served: RealClients) -> RealClients:
    """All traffic on blue, and both versions as they are by default; logs are empty."""
    set_traffic(served.ml, ENDPOINT, {"blue": 100})
    for version in ("1", "2"):
        served.azure.control.set_behaviour("price", version)
    store = served.azure.cloud.store
    for kind, key in list(store):
        if kind.startswith("log:") or kind == "onlineEndpoint.requests":
            store.delete(kind, key)
    return served


def send(clients: RealClients, requests: int, *, seed: int = 0) -> SentTraffic:
    return clients.azure.control.send_traffic(
        WORKSPACE_ID, ENDPOINT, requests=requests, start=START, end=START + MINUTE, seed=seed
    )


def logged(clients: RealClients, table: str = "AmlOnlineEndpointTrafficLog") -> list[Document]:
    return [row for _, row in clients.azure.cloud.store.appended(f"log:{table}")]


def test_requests_follow_split_and_mirror(clients: RealClients) -> None:
    """Simulated requests follow the live split and its mirror, and each is logged in the interval."""
    set_traffic(clients.ml, ENDPOINT, {"blue": 100}, mirror={"green": 20})

    sent = send(clients, 1000)

    assert (sent["answered"], sent["mirrored"]) == ({"blue": 1000}, {"green": 200})
    assert len(logged(clients)) == 1200
    times = [datetime.fromisoformat(row["TimeGenerated"]) for row in logged(clients)]
    assert min(times) >= START
    assert max(times) < START + MINUTE


def test_split_is_exact_per_hundred(clients: RealClients) -> None:
    """The live split is exact for every hundred requests."""
    set_traffic(clients.ml, ENDPOINT, {"blue": 95, "green": 5})

    assert send(clients, 300)["answered"] == {"blue": 285, "green": 15}


def test_answers_follow_the_behaviour(clients: RealClients) -> None:
    """Errors, latencies and scores follow the configured behaviour."""
    clients.azure.control.set_behaviour(
        "price", "1", error_rate=0.1, latency_ms=100, latency_p95_ms=200, score_mean=0.3, score_sd=0.05
    )

    sent = send(clients, 20_000)

    assert sent["harmed"] == sent["errors"]["blue"]
    assert sent["harmed"] / 20_000 == pytest.approx(0.1, abs=0.01)
    milliseconds = sorted(row["TotalDurationMs"] for row in logged(clients))
    assert median(milliseconds) == pytest.approx(100, rel=0.03)
    assert milliseconds[19_000] == pytest.approx(200, rel=0.05)
    read = LogAnalyticsTraffic(clients.log_analytics).read(ENDPOINT, ["blue"], START, START + MINUTE, scores=True)
    answers = read["blue"]
    assert (answers.requests, answers.errors) == (20_000, sent["harmed"])
    assert sum(answers.scores.values()) == 20_000 - sent["harmed"]
    scored = fmean(answers.scores, weights=answers.scores.values())
    assert scored == pytest.approx(0.3, abs=0.01)


def test_same_inputs_crash_live_and_mirrored(clients: RealClients) -> None:
    """The inputs that crash a model live also crash it when mirrored."""
    for version in ("1", "2"):
        clients.azure.control.set_behaviour("price", version, crash_share=0.05)
    set_traffic(clients.ml, ENDPOINT, {"blue": 100}, mirror={"green": 50})

    sent = send(clients, 4000)

    failed: dict[str, set[str]] = {"blue": set(), "green": set()}
    seen: set[str] = set()
    for row in logged(clients):
        if row["DeploymentName"] == "green":
            seen.add(row["XRequestId"])
        if row["ResponseCode"] == 424:
            failed[row["DeploymentName"]].add(row["XRequestId"])
    assert failed["green"] == failed["blue"] & seen
    assert len(failed["green"]) == sent["mirrored_errors"]["green"] == pytest.approx(100, abs=40)
    assert sent["harmed"] == len(failed["blue"])


def test_same_seed_gives_same_answers(clients: RealClients) -> None:
    """The same seed gives the same answers, and another seed gives others."""
    clients.azure.control.set_behaviour("price", "1", error_rate=0.2)
    errors = []
    for seed in (1, 1, 2):
        clients.azure.cloud.store.delete("onlineEndpoint.requests", _endpoint_id(clients))
        errors.append(send(clients, 5000, seed=seed)["errors"])

    assert errors[0] == errors[1] != errors[2]


def test_scores_need_a_deviation(clients: RealClients) -> None:
    """A model without a configured deviation prints no scores."""
    clients.azure.control.set_behaviour("price", "1", score_sd=None)

    send(clients, 10)

    assert logged(clients, "AmlOnlineEndpointConsoleLog") == []


def test_journal_has_one_entry(clients: RealClients) -> None:
    """The journal has one entry with all counts for each simulation."""
    before = len(clients.azure.control.journal("traffic.simulated"))
    sent = send(clients, 50)

    [entry] = clients.azure.control.journal("traffic.simulated")[before:]

    assert entry.items() >= dict(sent).items()


def test_simulation_is_fast(clients: RealClients) -> None:
    """Ten thousand requests are logged within five seconds."""
    began = time.perf_counter()
    send(clients, 10_000)
    assert time.perf_counter() - began < 5  # half a second, when the machine has nothing else to do


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"endpoint": "nothing"}, 404), ({"requests": 0}, 400), ({"start": "2026-03-01T00:00:00"}, 400)],
)
def test_invalid_simulation_is_refused(clients: RealClients, changes: Document, status: int) -> None:
    """A simulation with an unknown endpoint or invalid values is refused."""
    body: Document = {
        "workspace_id": WORKSPACE_ID,
        "endpoint": ENDPOINT,
        "requests": 1,
        "start": START.isoformat(),
        "end": (START + MINUTE).isoformat(),
    }
    url = f"{clients.azure.connection.base_url}/emulator/traffic"

    assert httpx.post(url, json=body | changes).status_code == status


def test_endpoint_without_traffic_is_refused(clients: RealClients) -> None:
    """A simulation on an endpoint without live traffic is refused."""
    set_traffic(clients.ml, ENDPOINT, {})

    with pytest.raises(httpx.HTTPStatusError):
        send(clients, 1)


def _endpoint_id(clients: RealClients) -> Any:
    [endpoint] = clients.azure.cloud.store.list("onlineEndpoint")
    return endpoint["id"]
