"""Which flow handles an event, by its cause; an event that needs no flow is settled when it is taken in."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from anew.core.events.event import Cause


class Flow(StrEnum):
    """The flows that take their work from the inbox, by their names in Prefect."""

    RETRAIN = "retrain"
    PROMOTE = "promote"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class SettledAtOnce:
    """No flow handles it; `outcome` is the sentence that its inbox entry is settled with."""

    outcome: str


def handling(cause: Cause) -> Flow | SettledAtOnce:
    """The flow that handles events of this cause, or how they are settled at once."""
    match cause:
        case Cause.DRIFT | Cause.MANUAL:
            return Flow.RETRAIN
        case Cause.RUN_COMPLETED | Cause.RUN_FAILED:
            return Flow.PROMOTE
        case Cause.MODEL_REGISTERED:
            return Flow.DEPLOY
        case Cause.RUN_PROGRESS:
            return SettledAtOnce("Nothing to do: the run has not ended.")
        case Cause.MODEL_DEPLOYED:
            return SettledAtOnce("Nothing to do: a model was deployed, which needs no answer.")
        case Cause.MONITOR_FAILED:
            return SettledAtOnce(
                "The monitor itself failed or had no data: this is not drift. Look at its run in Azure ML."
            )
        case _:
            assert_never(cause)


CAUSES_OF: Mapping[str, frozenset[Cause]] = {
    flow: frozenset(cause for cause in Cause if handling(cause) is flow) for flow in Flow
}
"""The causes of the events that each flow handles."""
