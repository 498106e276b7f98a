"""Values about an endpoint's traffic: who was to serve what share, and what deployments answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Share:
    """One deployment's part of an endpoint's traffic: `model` is `model:version`, None when nobody knows."""

    deployment: str
    percent: int
    model: str | None


@dataclass(frozen=True, slots=True)
class TrafficChange:
    """One change of who serves what. `rollout_id` is None for a move that was not ours, only seen."""

    at: datetime
    endpoint: str
    shares: tuple[Share, ...]
    actor: str
    reason: str
    mirror: tuple[Share, ...] = ()
    rollout_id: str | None = None


@dataclass(frozen=True, slots=True)
class RequestStats:
    """What one deployment answered in a window, live and mirrored requests together.

    `latencies` counts answers by the upper bound of their bucket in milliseconds, `scores` by the upper bound of
    the bucket of what was predicted; empty when scores are not logged.
    """

    requests: int = 0
    errors: int = 0
    latencies: Mapping[float, int] = field(default_factory=dict[float, int])
    scores: Mapping[float, int] = field(default_factory=dict[float, int])


def nonzero(traffic: Mapping[str, int]) -> dict[str, int]:
    """The shares that are more than nothing: what two splits are compared by."""
    return {name: share for name, share in traffic.items() if share}


def is_all_or_nothing(traffic: Mapping[str, int], mirror: Mapping[str, int]) -> bool:
    """Whether at most one deployment takes traffic, all of it, and nothing is mirrored."""
    return list(nonzero(traffic).values()) in ([], [100]) and not nonzero(mirror)
