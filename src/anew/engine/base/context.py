"""What every use-case is given: the ports, the policies and who is acting."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from anew.core.decisions.policy_set import Policies
from anew.core.events.event import Workspace
from anew.core.policies.evidence import EvidenceKind
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import (
    Endpoints,
    EvidenceReader,
    Jobs,
    MissedEvents,
    ModelRegistry,
    Notifier,
    TrafficLog,
    TrainingLauncher,
)

T = TypeVar("T")
R = TypeVar("R")


class MapConcurrently(Protocol):
    """Calls the function with every item, in any order or at once, and gives the answers in the items' order."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> list[R]: ...


def map_in_order(function: Callable[[T], R], items: Iterable[T], /) -> list[R]:
    """One item after the other."""
    return [function(item) for item in items]


@dataclass(frozen=True)
class Timing:
    """How long things may take before somebody else may look after them."""

    inbox_lease: timedelta = timedelta(minutes=5)
    rollout_lease: timedelta = timedelta(minutes=5)
    visibility_delay: timedelta = timedelta(minutes=2)  # how long an unseen launch may still turn up in Azure
    launch_timeout: timedelta = timedelta(hours=12)  # a launch that Azure does not answer for so long is given up
    confirm_within: timedelta = timedelta(minutes=15)  # how long Azure may know nothing of a drift event it sent
    ended_overlap: timedelta = timedelta(minutes=30)  # how late Azure may tell that a run ended
    polls_per_tick: int = 200  # at most, of retrainings that nothing was heard of
    lookback: timedelta = timedelta(days=2)  # how far a reconcile looks the first time
    rollout_stalled: timedelta = timedelta(hours=6)  # a rollout whose stage cannot be completed for so long has failed


@dataclass(frozen=True)
class Engine:
    """The ports a use-case may touch. `launchers`, `endpoints` and `readers` are by the `kind` a policy names.

    A use-case decides by the `now` it was given. `clock` is for effects, which may come long after it began.
    """

    ledger: Ledger
    policies: Policies
    workspace: Workspace
    launchers: Mapping[str, TrainingLauncher]
    jobs: Jobs
    registry: ModelRegistry
    endpoints: Mapping[str, Endpoints]
    traffic_log: TrafficLog
    readers: Mapping[EvidenceKind, EvidenceReader]
    missed: MissedEvents
    notifier: Notifier
    clock: Callable[[], datetime]
    actor: str = "anew"
    map_concurrently: MapConcurrently = map_in_order
    timing: Timing = Timing()
