"""Rows of a query as signals; what is not a whole answer is no evidence."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from anew.adapters.azure.monitor.log_analytics import LogAnalytics
from anew.core.evidence.history import History
from anew.core.policies.evidence import LogQuery
from anew.emulator.base.cloud import timestamp
from anew.errors import AzureRefused, AzureUnavailable
from tests.builders import policy
from tests.contract.azure_worlds import RealClients, real_clients

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
ACCURACY = """
AppMetrics
| where Name == "accuracy" and tostring(Properties.model) == "{model}"
| project metric = Name, value = Sum / ItemCount, at = TimeGenerated, feature = tostring(Properties.feature)
"""


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    with real_clients(tmp_path_factory.mktemp("logs")) as ready:
        for hours, model, feature in ((1, "price", "a"), (2, "price", ""), (50, "price", "a"), (1, "demand", "a")):
            row = {"TimeGenerated": timestamp(NOW - hours * HOUR), "Name": "accuracy", "Sum": 1.0 / hours}
            properties = {"model": model, "feature": feature}
            ready.azure.cloud.log("AppMetrics", row | {"ItemCount": 1, "Properties": properties})
        yield ready


def query(text: str = ACCURACY, *, hours: int = 24) -> LogQuery:
    return LogQuery(kind="log_analytics", query=text, window=timedelta(hours=hours))


def test_rows_within_the_window_become_signals(clients: RealClients) -> None:
    """The rows within the window become signals with metric, value, feature and time."""
    signals = clients.log_analytics.read(query(), policy("price"), History(), NOW)

    seen = {(each.metric, each.value, each.feature, each.at, each.source) for each in signals}
    assert seen == {
        ("accuracy", 1.0, "a", NOW - HOUR, "log_analytics"),
        ("accuracy", 0.5, None, NOW - 2 * HOUR, "log_analytics"),
    }


def test_longer_window_finds_older_rows(clients: RealClients) -> None:
    """A longer window finds older rows."""
    assert len(clients.log_analytics.read(query(hours=72), policy("price"), History(), NOW)) == 3


def test_query_without_rows_has_no_signals(clients: RealClients) -> None:
    """A query without rows gives no signals."""
    assert clients.log_analytics.read(query(), policy("unknown-model"), History(), NOW) == []


def test_empty_row_is_a_valueless_signal(clients: RealClients) -> None:
    """A row without a value or a time becomes a signal of now without a value."""
    text = 'AppMetrics | take 1 | project metric = "accuracy", value = real(null)'

    [signal] = clients.log_analytics.read(query(text, hours=72), policy("price"), History(), NOW)

    assert (signal.value, signal.at, signal.feature) == (None, NOW, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AppMetrics | project metric = Name", "no column value"),
        ("AppMetrics | where", "HTTP 400"),
        ("NoSuchTable | project metric = 1", "HTTP 400"),
    ],
)
def test_invalid_query_is_refused(clients: RealClients, text: str, reason: str) -> None:
    """A query that Azure cannot answer, or that lacks a value column, raises `AzureRefused`."""
    with pytest.raises(AzureRefused, match=reason):
        clients.log_analytics.read(query(text), policy("price"), History(), NOW)


def test_partial_answer_is_unavailable(clients: RealClients) -> None:
    """A partial answer raises `AzureUnavailable` and gives no signals."""
    clients.azure.control.set_modes(log_query_partial_rows=1)
    try:
        with pytest.raises(AzureUnavailable, match="in part"):
            clients.log_analytics.read(query(), policy("price"), History(), NOW)
    finally:
        clients.azure.control.set_modes(log_query_partial_rows=0)


def test_missing_workspace_has_advice(clients: RealClients) -> None:
    """A query without a configured workspace is refused, with advice on the missing setting."""
    with pytest.raises(AzureRefused) as refused:
        LogAnalytics(lambda: clients.logs, None).read(query(), policy("price"), History(), NOW)

    assert "log_analytics_workspace_id" in refused.value.advice
