"""Measurements and missed events from Log Analytics, through pandas."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult

from anew.adapters.azure.errors import translated
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import EvidenceSpec, LogQuery
from anew.core.policies.policy import Policy
from anew.errors import AzureRefused, AzureUnavailable

# The columns are the v1 monitor's metrics by the SDK's constants. Whether they reach AppMetrics under these names is
# unverified (docs/reference/azure.md).
DRIFT_QUERY = """
AppMetrics
| where Name == "datadrift_coefficient"
| extend d = parse_json(tostring(Properties))
| project TimeGenerated, value = 1.0 * Sum / ItemCount, monitor_id = tostring(d.datadrift_id),
          monitor = tostring(d.datadrift_name), run_id = tostring(d.runid),
          start = tostring(d.start_date), end_ = tostring(d.end_date), threshold = todouble(d.drift_threshold)
| where value > threshold
"""

ENDED_QUERY = """
AmlRunStatusChangedEvent
| where Status in ("Completed", "Failed", "Canceled", "NotResponding")
| distinct RunId
"""


class LogAnalytics:
    """Implements EvidenceReader for `log_analytics`. The client is created when it is first needed."""

    def __init__(self, client: Callable[[], LogsQueryClient], workspace_id: str | None) -> None:
        self._client = client
        self._workspace_id = workspace_id

    @property
    def has_workspace(self) -> bool:
        """Whether the settings name a workspace."""
        return self._workspace_id is not None

    def read(self, source: EvidenceSpec, policy: Policy, history: History, now: datetime) -> list[Signal]:
        assert isinstance(source, LogQuery)
        text = source.query.replace("{model}", policy.model)
        frame = self.frame(text, source.workspace_id, source.window, now)
        absent = {"metric", "value"} - set(frame.columns)
        if absent:
            raise AzureRefused(f"the query for {policy.model} returns no column {' or '.join(sorted(absent))}")
        signals = [_signal(row, now) for row in frame.to_dict("records")]
        return [signal for signal in signals if signal.at <= now]  # the window of `frame` ends later

    def frame(self, text: str, workspace_id: str | None, window: timedelta, now: datetime) -> pd.DataFrame:
        """The first table of the query's result, from *window* before *now* until five minutes after it.

        Raises AzureUnavailable for a partial result, which is no evidence.
        """
        target = workspace_id or self._workspace_id
        if target is None:
            raise AzureRefused(
                "no Log Analytics workspace is configured",
                advice="Set azure.log_analytics_workspace_id in the settings",
            )
        with translated("query Log Analytics"):
            result = self._client().query_workspace(target, text, timespan=(now - window, now + timedelta(minutes=5)))
        if isinstance(result, LogsQueryPartialResult):
            raise AzureUnavailable("Log Analytics answered only in part")
        if not result.tables:
            return pd.DataFrame()
        return pd.DataFrame(result.tables[0].rows, columns=result.tables[0].columns)


def _signal(row: dict[Any, Any], now: datetime) -> Signal:
    rows = _number(row.get("rows"))
    return Signal(
        metric=str(row["metric"]),
        value=_number(row["value"]),
        source="log_analytics",
        at=_moment(row.get("at"), now),
        feature=_text(row.get("feature")),
        threshold=_number(row.get("threshold")),
        monitor=_text(row.get("monitor")),
        rows=None if rows is None or rows < 0 else int(rows),
    )


def _text(value: Any) -> str | None:
    return None if value is None or pd.isna(value) or value == "" else str(value)


def _number(value: Any) -> float | None:
    number = None if value is None else pd.to_numeric(value, errors="coerce")
    return None if number is None or pd.isna(number) or not math.isfinite(number) else float(number)


def _moment(value: Any, otherwise: datetime) -> datetime:
    moment = pd.to_datetime(value, utc=True, errors="coerce")
    return otherwise if value is None or pd.isna(moment) else moment.to_pydatetime().astimezone(UTC)
