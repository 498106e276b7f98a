"""The stages of a rollout: which deployment has what share of the traffic at each. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from anew.core.policies.deploy import Deploy, Step
from anew.core.policies.policy import DEPLOY_ADAPTER
from anew.core.rollouts.lifecycle import Rollout, RolloutKind
from anew.core.rollouts.traffic import Share, TrafficChange
from anew.errors import TrafficMoved


@dataclass(frozen=True, slots=True)
class Split:
    """Percent of the live and of the mirrored traffic by deployment; deployments without a share are left out."""

    live: Mapping[str, int]
    mirror: Mapping[str, int] = field(default_factory=dict[str, int])


def rule_of(rollout: Rollout) -> Deploy:
    """The deploy rule as it was when the rollout was opened."""
    return DEPLOY_ADAPTER.validate_python(rollout.spec)


def split_at(rollout: Rollout, rule: Deploy, step: int) -> Split:
    """The split of a stage; stage -1 is the split before the rollout."""
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


def shown_stage(rollout: Rollout, rule: Deploy, shown: Split, steps: Iterable[int]) -> int:
    """The first of these stages whose live split the endpoint shows. Raises TrafficMoved when it shows that of none."""
    for step in steps:
        if split_at(rollout, rule, step).live == shown.live:
            return step
    live = ", ".join(f"{name} {share} %" for name, share in sorted(shown.live.items()))
    raise TrafficMoved(f"{rollout.endpoint} shows {live or 'no traffic'}")


def first_step(rollout: Rollout, rule: Deploy) -> int:
    """The stage to begin with. It is the last one for a rollback, for a batch endpoint, and when no other deployment
    serves that the new one could be compared with.
    """
    straight = rollout.previous is None or rollout.kind is RolloutKind.ROLLBACK or rule.kind == "batch"
    return len(rule.steps) - 1 if straight else 0


def takes_all(rule: Deploy, step: int) -> bool:
    """Whether the stage is the last: the new deployment takes all the traffic."""
    return step >= len(rule.steps) - 1


def stage_name(stage: Step) -> str:
    """The stage in words."""
    return f"{stage.mirror} % mirrored" if stage.mirror is not None else f"{stage.traffic} %"


def shares_of(split: Mapping[str, int], models: Mapping[str, str | None]) -> tuple[Share, ...]:
    """The shares with the model of each deployment, the largest first."""
    ordered = sorted(split.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(name, percent, models.get(name)) for name, percent in ordered if percent)


def traffic_change(rollout: Rollout, split: Split, actor: str, reason: str, now: datetime) -> TrafficChange:
    """The change to record when a rollout has written this split."""
    models: dict[str, str | None] = {rollout.deployment: f"{rollout.model}:{rollout.version}"}
    if rollout.previous:
        models[rollout.previous] = rollout.previous_version or None
    return TrafficChange(
        at=now,
        endpoint=rollout.place,
        shares=shares_of(split.live, models),
        mirror=shares_of(split.mirror, models),
        actor=actor,
        reason=reason,
        rollout_id=rollout.id,
    )
