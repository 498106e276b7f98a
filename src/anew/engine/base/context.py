"""The engine that every use case is given: the ports, the policies and the actor."""

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
    """Calls a function with every item.

    1. The calls may run in any order, or at the same time; the results come in the order of the items.
    2. It raises what a call raised.
    """

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> list[R]: ...


def map_in_order(function: Callable[[T], R], items: Iterable[T], /) -> list[R]:
    """Implements MapConcurrently without concurrency: one item after the other."""
    return [function(item) for item in items]


@dataclass(frozen=True)
class Timing:
    """How long each wait of the engine lasts."""

    inbox_lease: timedelta = timedelta(minutes=5)  # of an entry; then another flow run may lease it
    rollout_lease: timedelta = timedelta(minutes=5)  # of an endpoint
    visibility_delay: timedelta = timedelta(minutes=2)  # how long after its request a run may first appear in Azure
    launch_timeout: timedelta = timedelta(hours=12)  # of a launch to which Azure does not answer
    confirm_within: timedelta = timedelta(minutes=15)  # how long Azure may take to confirm a drift event it sent
    ended_overlap: timedelta = timedelta(minutes=30)  # how late Azure may report that a run has ended
    polls_per_tick: int = 200  # the most retrainings to poll in one tick
    lookback: timedelta = timedelta(days=2)  # how far back the first reconcile searches for missed events
    rollout_stalled: timedelta = timedelta(hours=6)  # a rollout whose stage makes no progress for this long fails


@dataclass(frozen=True)
class Engine:
    """The ports that a use case may use. `launchers`, `endpoints` and `readers` are keyed by the `kind` in a policy.

    A use case decides by the `now` it is given. `clock` is for effects, which may happen long after it began.
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
