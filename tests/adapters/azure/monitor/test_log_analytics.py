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
    signals = clients.log_analytics.read(query(), policy("price"), History(), NOW)

    seen = {(each.metric, each.value, each.feature, each.at, each.source) for each in signals}
    assert seen == {
        ("accuracy", 1.0, "a", NOW - HOUR, "log_analytics"),
        ("accuracy", 0.5, None, NOW - 2 * HOUR, "log_analytics"),
    }


def test_longer_window_reaches_further_back(clients: RealClients) -> None:
    assert len(clients.log_analytics.read(query(hours=72), policy("price"), History(), NOW)) == 3


def test_query_without_rows_has_no_signals(clients: RealClients) -> None:
    assert clients.log_analytics.read(query(), policy("unknown-model"), History(), NOW) == []


def test_row_without_a_value_or_a_time_is_a_signal_without_a_value_of_now(clients: RealClients) -> None:
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
def test_query_that_cannot_be_answered_is_refused(clients: RealClients, text: str, reason: str) -> None:
    with pytest.raises(AzureRefused, match=reason):
        clients.log_analytics.read(query(text), policy("price"), History(), NOW)


def test_partial_answer_is_no_answer(clients: RealClients) -> None:
    clients.azure.control.set_modes(log_query_partial_rows=1)
    try:
        with pytest.raises(AzureUnavailable, match="in part"):
            clients.log_analytics.read(query(), policy("price"), History(), NOW)
    finally:
        clients.azure.control.set_modes(log_query_partial_rows=0)


def test_query_without_a_workspace_is_refused_with_advice(clients: RealClients) -> None:
    with pytest.raises(AzureRefused) as refused:
        LogAnalytics(lambda: clients.logs, None).read(query(), policy("price"), History(), NOW)

    assert "log_analytics_workspace_id" in refused.value.advice
