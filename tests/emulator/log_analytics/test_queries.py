"""The query API through its real SDK: real Kusto over the tables local Azure writes."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import AsyncioRequestsTransport
from azure.monitor.query import LogsBatchQuery, LogsQueryClient, LogsQueryStatus
from azure.monitor.query.aio import LogsQueryClient as AsyncLogsQueryClient

from anew.emulator.base.cloud import timestamp
from anew.emulator.log_analytics.queries import parse_timespan
from tests.emulator.support import WORKSPACE_ID, RunningAzure, run_local_azure

DAY = timedelta(days=1)
AUDIENCE = "https://api.loganalytics.io"


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAzure]:
    with run_local_azure(tmp_path_factory.mktemp("logs")) as running:
        now = datetime.now(UTC)
        for hours, value in ((1, 0.9), (2, 0.8), (30, 0.5)):
            properties = {"model": "elec2", "batch": hours}
            row = {"TimeGenerated": timestamp(now - timedelta(hours=hours)), "Name": "accuracy", "Sum": value}
            running.cloud.log("AppMetrics", row | {"ItemCount": 1, "Properties": properties})
        yield running


@pytest.fixture(scope="module")
def client(azure: RunningAzure) -> Any:
    at = azure.connection
    return LogsQueryClient(at.credential, endpoint=at.base_url, audience=AUDIENCE, per_call_policies=at.policies())


def rows(answer: Any) -> list[list[Any]]:
    assert answer.status == LogsQueryStatus.SUCCESS
    return [list(row) for row in answer.tables[0].rows]


def test_dynamic_properties_are_queryable(client: Any) -> None:
    """A query may read dynamic properties and compute with their values."""
    query = """AppMetrics
        | where Name == "accuracy"
        | extend batch = toint(Properties.batch), model = tostring(Properties.model)
        | project value = Sum / ItemCount, batch, model
        | order by batch asc"""
    answer = client.query_workspace("w", query, timespan=DAY)
    assert rows(answer) == [[0.9, 1, "elec2"], [0.8, 2, "elec2"]]
    assert answer.tables[0].columns_types == ["real", "int", "string"]


def test_datetime_columns_stay_datetimes(client: Any) -> None:
    """Columns with a time arrive as datetimes, and dynamic ones as JSON text."""
    answer = client.query_workspace("w", "AppMetrics | summarize arg_max(TimeGenerated, *) by Name", timespan=DAY)
    [row] = answer.tables[0].rows
    assert datetime.now(UTC) - row["TimeGenerated"] < timedelta(hours=1, minutes=5)
    assert row["Properties"] == '{"model":"elec2","batch":1}'


@pytest.mark.parametrize(("timespan", "count"), [(DAY, 2), (None, 3), (timedelta(minutes=5), 0)])
def test_timespan_limits_the_rows(client: Any, timespan: timedelta | None, count: int) -> None:
    """The timespan of a query limits its rows by `TimeGenerated`."""
    assert rows(client.query_workspace("w", "AppMetrics | count", timespan=timespan)) == [[count]]


@pytest.mark.parametrize(
    "table",
    [
        "AppMetrics",
        "AmlRunStatusChangedEvent",
        "AmlModelsEvent",
        "AmlOnlineEndpointConsoleLog",
        "AmlOnlineEndpointTrafficLog",
        "ADFPipelineRun",
    ],
)
def test_empty_table_answers_with_columns(client: Any, table: str) -> None:
    """A known table answers with its columns even when it is empty."""
    query = f"{table} | where ingestion_time() > ago(1m) and TimeGenerated > ago(1m) | project TimeGenerated"
    answer = client.query_workspace("w", query, timespan=DAY)
    assert rows(answer) == []
    assert answer.tables[0].columns == ["TimeGenerated"]


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        ("NoSuchTable | take 1", "SemanticError", "Failed to resolve table or column expression named 'NoSuchTable'"),
        ("AppMetrics | where Nope == 1", "SemanticError", "named 'Nope'"),
        ("AppMetrics | where", "SyntaxError", "could not be parsed"),
    ],
)
def test_bad_query_fails_like_azure(client: Any, query: str, kind: str, message: str) -> None:
    """A bad query is refused with the status, code and message of Azure."""
    with pytest.raises(HttpResponseError) as refusal:
        client.query_workspace("w", query, timespan=DAY)
    assert refusal.value.status_code == 400
    details = json.loads(refusal.value.response.text())["error"]["innererror"]
    assert details["code"] == kind
    assert message in details["innererror"]["message"]


def test_resource_query_is_accepted(client: Any) -> None:
    """A query by resource with a timeout and statistics is accepted."""
    answer = client.query_resource(
        WORKSPACE_ID, "AppMetrics | count", timespan=DAY, server_timeout=30, include_statistics=True
    )
    assert rows(answer) == [[2]]
    assert answer.statistics["query"]["executionTime"] > 0


def test_batch_queries_are_independent(client: Any) -> None:
    """Each query of a batch succeeds or fails on its own."""
    queries = [
        LogsBatchQuery("w", "AppMetrics | count", timespan=DAY),
        LogsBatchQuery("w", "NoSuchTable | count", timespan=DAY),
    ]
    good, bad = client.query_batch(queries)
    assert rows(good) == [[2]]
    assert bad.status == LogsQueryStatus.FAILURE


def test_partial_mode_returns_some_rows(azure: RunningAzure, client: Any) -> None:
    """In partial mode a query returns some rows and an error."""
    azure.control.set_modes(log_query_partial_rows=1)
    answer = client.query_workspace("w", "AppMetrics | project Sum", timespan=DAY)
    azure.control.set_modes(log_query_partial_rows=0)
    assert answer.status == LogsQueryStatus.PARTIAL
    assert len(answer.partial_data[0].rows) == 1


def test_aio_client_queries_unmodified(azure: RunningAzure) -> None:
    """The unmodified asynchronous client can query."""
    at = azure.connection

    async def count() -> list[list[Any]]:
        transport: Any = AsyncioRequestsTransport()
        client: Any = AsyncLogsQueryClient(
            at.async_credential,
            endpoint=at.base_url,
            audience=AUDIENCE,
            per_call_policies=at.policies(),
            transport=transport,
        )
        async with client:
            return rows(await client.query_workspace("w", "AppMetrics | count", timespan=DAY))

    assert asyncio.run(count()) == [[2]]


def test_all_timespan_forms_are_parsed() -> None:
    """Every form of a timespan is parsed to its interval."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    yesterday = now - DAY
    assert parse_timespan("P1D", now) == (yesterday, now)
    assert parse_timespan("PT86400.0S", now) == (yesterday, now)
    assert parse_timespan("2026-01-01T00:00:00Z/2026-01-02T00:00:00Z", now) == (yesterday, now)
    assert parse_timespan("2026-01-01T00:00:00Z/PT24H", now) == (yesterday, now)
    assert parse_timespan("P1D/2026-01-02T00:00:00Z", now) == (yesterday, now)
    assert parse_timespan(None, now) == (None, None)
