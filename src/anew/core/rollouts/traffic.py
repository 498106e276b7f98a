"""Values about an endpoint's traffic: the shares of its deployments, and the requests they answered. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Share:
    """One deployment's share of an endpoint's traffic; `model` is its `model:version`, None when it is unknown."""

    deployment: str
    percent: int
    model: str | None


@dataclass(frozen=True, slots=True)
class TrafficChange:
    """One recorded change of an endpoint's shares; `rollout_id` is None for a change made outside anew."""

    at: datetime
    endpoint: str
    shares: tuple[Share, ...]
    actor: str
    reason: str
    mirror: tuple[Share, ...] = ()
    rollout_id: str | None = None


@dataclass(frozen=True, slots=True)
class RequestStats:
    """The requests that one deployment answered in a window of time, live and mirrored together.

    `latencies` counts them by the upper bound of their bucket in milliseconds, `scores` by the upper bound of the
    bucket of the predicted score; `scores` is empty when scores are not logged.
    """

    requests: int = 0
    errors: int = 0
    latencies: Mapping[float, int] = field(default_factory=dict[float, int])
    scores: Mapping[float, int] = field(default_factory=dict[float, int])


def nonzero(traffic: Mapping[str, int]) -> dict[str, int]:
    """The shares above zero, by which two splits are compared."""
    return {name: share for name, share in traffic.items() if share}


def is_all_or_nothing(traffic: Mapping[str, int], mirror: Mapping[str, int]) -> bool:
    """Whether no deployment or one has all the traffic, and nothing is mirrored."""
    return list(nonzero(traffic).values()) in ([], [100]) and not nonzero(mirror)
