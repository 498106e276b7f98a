"""When a rollout may go on, and when it must be aborted, by time and measurements. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.policies.deploy import Deploy, Step
from anew.core.rollouts.canary import StageOutcome, judge_stage
from anew.core.rollouts.lifecycle import Rollout, RolloutKind, RolloutState
from anew.core.rollouts.traffic import RequestStats

_LEAST_INTERVAL = timedelta(seconds=1)  # so that one pass measures once, whatever the policy says


@dataclass(frozen=True, slots=True)
class Measurement:
    """The outcome of a measurement, None when the traffic log could not be read, and the sentence that explains it."""

    outcome: StageOutcome | None
    sentence: str


def judge(rollout: Rollout, rule: Deploy, stage: Step, new: RequestStats, old: RequestStats | None) -> Measurement:
    """Measure a stage by its analysis; without one, by the number of requests alone."""
    if rule.analysis is None:
        enough = new.requests >= stage.min_requests
        sentence = f"{new.requests} of {stage.min_requests} requests"
        return Measurement(StageOutcome.PASS if enough else StageOutcome.INCONCLUSIVE, sentence)
    verdict = judge_stage(rule.analysis, stage.min_requests, new, old, rollout.measurements)
    return Measurement(verdict.outcome, verdict.node.sentence)


def counts_with(rollout: Rollout, measurement: Measurement) -> dict[str, int]:
    """The counters of the rollout after this measurement. Failures and errors count while they follow each other."""
    if measurement.outcome is None:
        return {"errors": rollout.errors + 1}
    failures = rollout.failures + 1 if measurement.outcome is StageOutcome.FAIL else 0
    return {"errors": 0, "failures": failures, "measurements": rollout.measurements + 1}


def is_bake_measured(rollout: Rollout, rule: Deploy) -> bool:
    """Whether a failed measurement may end the bake: not that of a rollback, and not without a version to return to."""
    may_abort = rollout.previous is not None and rollout.kind is RolloutKind.RELEASE
    return rule.analysis is not None and rule.kind == "online" and may_abort


def is_due(rollout: Rollout, rule: Deploy, now: datetime) -> bool:
    """Whether it is time for the next measurement."""
    every = max(rule.analysis.every if rule.analysis else _LEAST_INTERVAL, _LEAST_INTERVAL)
    return rollout.measured_at is None or now >= rollout.measured_at + every


def has_failed(rollout: Rollout, rule: Deploy) -> bool:
    """Whether more measurements in a row failed than the policy allows."""
    return rule.analysis is not None and rollout.failures > rule.analysis.failure_limit


def reason_to_abort(
    rollout: Rollout, rule: Deploy, stage: Step, measurement: Measurement, stalled_after: timedelta, now: datetime
) -> str | None:
    """Why a stage must be aborted after its newest measurement, which `rollout` already counts; None when it may last.

    `stalled_after` is how long a stage without an analysis may be inconclusive.
    """
    limits = rule.analysis
    if has_failed(rollout, rule):
        return measurement.sentence
    if limits is not None and rollout.errors > limits.error_limit:
        return f"{rollout.errors} measurements in a row: {measurement.sentence}"
    inconclusive_for = limits.inconclusive_for if limits is not None else stalled_after
    if measurement.outcome is not StageOutcome.PASS and now > rollout.state_since + max(inconclusive_for, stage.wait):
        return f"inconclusive for {now - rollout.state_since}: {measurement.sentence}"
    return None


def bake_ends_at(rollout: Rollout, rule: Deploy) -> datetime:
    """When the bake is over: at once when no other deployment has to be kept for a rollback."""
    kept = rollout.previous is not None
    return rollout.state_since + (max(rule.bake, rule.steps[-1].wait) if kept else timedelta(0))


def is_stalled(rollout: Rollout, limit: timedelta, now: datetime) -> bool:
    """Whether a stage that Azure fails to complete has lasted too long.

    A pending rollout may only have waited for its turn, a baking version serves, and an abort has no alternative.
    """
    if rollout.state not in (RolloutState.CREATING, RolloutState.SHIFTING):
        return False
    return now > max(rollout.state_since, rollout.measured_at or rollout.state_since) + limit
