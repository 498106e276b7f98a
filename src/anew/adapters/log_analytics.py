"""Measurements and missed events from Log Analytics, through pandas."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult

from anew.adapters.azure_errors import translated
from anew.core.decision import Signal
from anew.core.policy import LogQuery
from anew.errors import AzureRefused, AzureUnavailable

# Column names of the v1 monitor's metrics follow the SDK's constants; that they arrive in AppMetrics like this
# is unverified (docs/reference/azure.md).
DRIFT_QUERY = """
AppMetrics
| where Name == "datadrift_coefficient"
| extend d = parse_json(tostring(Properties))
| project TimeGenerated, value = 1.0 * Sum / ItemCount, monitor_id = tostring(d.datadrift_id),
          monitor = tostring(d.datadrift_name), run_id = tostring(d.runid),
          start = tostring(d.start_date), end_ = tostring(d.end_date), threshold = todouble(d.drift_threshold)
| where value > threshold
"""


class LogAnalytics:
    """Implements Metrics. The client is made when first needed: a webhook never needs one."""

    def __init__(self, client: Callable[[], LogsQueryClient], workspace_id: str | None) -> None:
        self._client = client
        self._workspace_id = workspace_id

    def query(self, query: LogQuery, model: str, now: datetime) -> list[Signal]:
        text = query.query.replace("{model}", model)
        frame = self.frame(text, query.workspace_id, query.window, now)
        absent = {"metric", "value"} - set(frame.columns)
        if absent:
            raise AzureRefused(f"the query for {model} returns no column {' or '.join(sorted(absent))}")
        return [_signal(row, now) for row in frame.to_dict("records")]

    def frame(self, text: str, workspace_id: str | None, window: timedelta, now: datetime) -> pd.DataFrame:
        """The first table of a query's answer. Raises AzureUnavailable for a partial one: half the evidence is none."""
        target = workspace_id or self._workspace_id
        if target is None:
            raise AzureRefused(
                "no Log Analytics workspace is named", advice="Set azure.log_analytics_workspace_id in the settings"
            )
        with translated("query Log Analytics"):
            answer = self._client().query_workspace(target, text, timespan=(now - window, now + timedelta(minutes=5)))
        if isinstance(answer, LogsQueryPartialResult):
            raise AzureUnavailable("Log Analytics answered only in part")
        if not answer.tables:
            return pd.DataFrame()
        return pd.DataFrame(answer.tables[0].rows, columns=answer.tables[0].columns)


def _signal(row: dict[Any, Any], now: datetime) -> Signal:
    feature = row.get("feature")
    return Signal(
        metric=str(row["metric"]),
        value=_number(row["value"]),
        source="log_analytics",
        at=_moment(row.get("at"), now),
        feature=None if pd.isna(feature) or feature == "" else str(feature),
    )


def _number(value: Any) -> float | None:
    number = pd.to_numeric(value, errors="coerce")
    return None if pd.isna(number) else float(number)


def _moment(value: Any, otherwise: datetime) -> datetime:
    moment = pd.to_datetime(value, utc=True, errors="coerce")
    return otherwise if value is None or pd.isna(moment) else moment.to_pydatetime().astimezone(UTC)
