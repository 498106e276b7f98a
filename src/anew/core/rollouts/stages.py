"""Who serves what share at each stage of a rollout. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from anew.core.policies.deploy import Deploy, Step
from anew.core.rollouts.lifecycle import Rollout, RolloutKind
from anew.core.rollouts.traffic import Share


@dataclass(frozen=True, slots=True)
class Split:
    """Percent of the live and of the mirrored traffic by deployment; deployments without any are left out."""

    live: Mapping[str, int]
    mirror: Mapping[str, int] = field(default_factory=dict[str, int])


def split_at(rollout: Rollout, rule: Deploy, step: int) -> Split:
    """The split of a stage; of stage -1, the one before the rollout."""
    old, new = rollout.previous, rollout.deployment
    if step < 0:
        return Split({old: 100} if old else {})
    stage = rule.steps[step]
    if old is None or stage.traffic == 100:
        return Split({new: 100})
    if stage.mirror is not None:
        return Split({old: 100}, {new: stage.mirror})
    share = stage.traffic or 0
    return Split({new: share, old: 100 - share})


def first_step(rollout: Rollout, rule: Deploy) -> int:
    """The first stage: the last of all when nothing serves that could be compared with, or when the version is one
    that served before.
    """
    straight = rollout.previous is None or rollout.kind is RolloutKind.ROLLBACK or rule.kind == "batch"
    return len(rule.steps) - 1 if straight else 0


def takes_all(rule: Deploy, step: int) -> bool:
    """Whether the stage is the last: the new deployment takes all the traffic."""
    return step >= len(rule.steps) - 1


def stage_name(stage: Step) -> str:
    """The stage for a person."""
    return f"{stage.mirror} % mirrored" if stage.mirror is not None else f"{stage.traffic} %"


def shares_of(split: Mapping[str, int], models: Mapping[str, str | None]) -> tuple[Share, ...]:
    """The split with the model of each deployment, largest first."""
    ordered = sorted(split.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(name, percent, models.get(name)) for name, percent in ordered if percent)
