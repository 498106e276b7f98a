"""A log of requests in memory. It counts them in the same buckets as the queries for Log Analytics."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from anew.adapters.memory.azure import MemoryAzure
from anew.core.rollouts.histograms import latency_bound, latency_index, score_bound, score_index
from anew.core.rollouts.traffic import RequestStats


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """One request that a deployment answered, live or mirrored, with the scores that the deployment logged."""

    endpoint: str
    deployment: str
    at: datetime
    milliseconds: int
    code: int = 200
    scores: Sequence[float] = ()


class MemoryTrafficLog:
    """Implements TrafficLog. A test appends to `answers`."""

    def __init__(self, azure: MemoryAzure) -> None:
        self._azure = azure
        self.answers: list[AnsweredRequest] = []

    def read(
        self, endpoint: str, deployments: Collection[str], since: datetime, until: datetime, *, scores: bool
    ) -> Mapping[str, RequestStats]:
        with self._azure.call("traffic_log.read"):
            seen = [each for each in self.answers if each.endpoint == endpoint and since <= each.at < until]
            return {
                name: _counted([each for each in seen if each.deployment == name], scores=scores)
                for name in deployments
            }


def _counted(answers: Sequence[AnsweredRequest], *, scores: bool) -> RequestStats:
    latencies = Counter(latency_bound(latency_index(each.milliseconds)) for each in answers if each.code < 400)
    given = [score for each in answers if scores for score in each.scores if math.isfinite(score)]
    return RequestStats(
        requests=len(answers),
        errors=sum(each.code >= 500 or each.code in (408, 424, 429) for each in answers),
        latencies=dict(latencies),
        scores=dict(Counter(score_bound(score_index(score)) for score in given)),
    )
