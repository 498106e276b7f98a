"""What every use-case is given: the ports, the policies and who is acting."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from anew.core.events import Workspace
from anew.core.policies import Policies
from anew.engine.ports import (
    Endpoints,
    EvidenceSource,
    Jobs,
    Ledger,
    MissedEvents,
    ModelRegistry,
    Notifier,
    TrainingLauncher,
)


@dataclass(frozen=True)
class Timing:
    """How long things may take before somebody else may look after them."""

    claim_lease: timedelta = timedelta(minutes=5)
    rollout_lease: timedelta = timedelta(minutes=5)
    launch_settle: timedelta = timedelta(minutes=2)  # how long an unseen launch may still turn up in Azure
    lookback: timedelta = timedelta(days=2)  # how far a reconcile looks the first time
    rollout_stalled: timedelta = timedelta(hours=6)  # a rollout whose stage cannot be completed for so long has failed


@dataclass(frozen=True)
class Engine:
    """The ports a use-case may touch. `launchers` and `sources` are by the `kind` a policy names."""

    ledger: Ledger
    policies: Policies
    workspace: Workspace
    launchers: Mapping[str, TrainingLauncher]
    jobs: Jobs
    registry: ModelRegistry
    endpoints: Endpoints
    sources: Mapping[str, EvidenceSource]
    missed: MissedEvents
    notifier: Notifier
    actor: str = "anew"
    timing: Timing = Timing()
