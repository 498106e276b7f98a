"""The requests that online deployments answered. Log Analytics counts them, so that buckets are sent, not rows."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pandas as pd

from anew.adapters.azure.monitor.log_analytics import LogAnalytics
from anew.core.rollouts.histograms import GROWTH, SLACK, STEPS, latency_bound, score_bound
from anew.core.rollouts.traffic import RequestStats
from anew.errors import AzureRefused

# 408: the model took too long; 424: its container did not answer 200; 429: it got more requests than it can handle
# ("Troubleshoot online endpoints", Microsoft Learn). The caller causes the other 4xx: a wrong key, a wrong path.
MODEL_ERRORS: Final = (408, 424, 429)

REQUESTS_QUERY: Final = """
AmlOnlineEndpointTrafficLog
| where TimeGenerated >= datetime({since}) and TimeGenerated < datetime({until})
| where EndpointName =~ "{endpoint}" and DeploymentName in ({deployments})
| extend failed = ResponseCode >= 500 or ResponseCode in ({errors}), ms = todouble(TotalDurationMs)
| extend bucket = toint(ceiling(log(iff(ms > 1.0, ms, 1.0)) / log({growth}) - {slack}))
| extend bucket = iff(ResponseCode < 400, bucket, int(null))
| summarize requests = count(), errors = countif(failed) by deployment = DeploymentName, bucket
"""

# A scoring script prints `anew_score`, a number or a list of numbers, in one line of JSON; a logger may put any text
# before it. The console log names its endpoint only in the resource id.
SCORES_QUERY: Final = r"""
AmlOnlineEndpointConsoleLog
| where TimeGenerated >= datetime({since}) and TimeGenerated < datetime({until})
| where _ResourceId endswith "/onlineEndpoints/{endpoint}" and DeploymentName in ({deployments})
| where Message contains "anew_score"
| extend given = parse_json(extract(@"\{{.*\}}", 0, Message)).anew_score
| extend given = iff(gettype(given) == "array", given, pack_array(given))
| mv-expand given
| extend score = todouble(given)
| where isfinite(score)
| extend beyond = toint(ceiling(log(iff(abs(score) > 1.0, abs(score), 1.0)) / log({growth}) - {slack}))
| extend bucket = case(abs(score) <= 1.0, toint(ceiling(score * {steps} - {slack})),
                       score > 0.0, {steps} + beyond, -{steps} - beyond)
| summarize scores = count() by deployment = DeploymentName, bucket
"""

_NAME: Final = re.compile(r"[A-Za-z0-9-]+")  # the characters that Azure allows


class LogAnalyticsTraffic:
    """Implements TrafficLog. Rows arrive minutes after their time (core/rollouts/canary.INGESTION_LAG), so reading the
    same window later may count more.
    """

    def __init__(self, logs: LogAnalytics) -> None:
        self._logs = logs

    def read(
        self, endpoint: str, deployments: Collection[str], since: datetime, until: datetime, *, scores: bool
    ) -> Mapping[str, RequestStats]:
        for name in (endpoint, *deployments):
            if not _NAME.fullmatch(name):  # names go into the text of a query
                raise AzureRefused(f"{name!r} is not a name of an endpoint or a deployment")
        if not deployments or until <= since:
            return dict.fromkeys(deployments, RequestStats())
        answers = _answers(self._frame(REQUESTS_QUERY, endpoint, deployments, since, until))
        by_score = _score_counts(self._frame(SCORES_QUERY, endpoint, deployments, since, until)) if scores else {}
        return {name: replace(answers.get(name, RequestStats()), scores=by_score.get(name, {})) for name in deployments}

    def _frame(
        self, query: str, endpoint: str, deployments: Iterable[str], since: datetime, until: datetime
    ) -> pd.DataFrame:
        text = query.format(
            since=_moment(since),
            until=_moment(until),
            endpoint=endpoint,
            deployments=", ".join(f'"{name}"' for name in sorted(deployments)),
            errors=", ".join(map(str, MODEL_ERRORS)),
            growth=GROWTH,
            slack=SLACK,
            steps=STEPS,
        )
        return self._logs.frame(text, None, until - since + timedelta(minutes=1), until)


def _answers(frame: pd.DataFrame) -> dict[str, RequestStats]:
    requests, errors = Counter[str](), Counter[str]()
    latencies: dict[str, dict[float, int]] = defaultdict(dict)
    for row in frame.to_dict("records"):
        name, count = str(row["deployment"]), int(row["requests"])
        requests[name] += count
        errors[name] += int(row["errors"])
        if not pd.isna(row["bucket"]):
            latencies[name][latency_bound(int(row["bucket"]))] = count
    return {name: RequestStats(requests[name], errors[name], latencies[name]) for name in requests}


def _score_counts(frame: pd.DataFrame) -> dict[str, dict[float, int]]:
    scores: dict[str, dict[float, int]] = defaultdict(dict)
    for row in frame.to_dict("records"):
        scores[str(row["deployment"])][score_bound(int(row["bucket"]))] = int(row["scores"])
    return scores


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
