"""A decision: its outcome, and the tree that explains it."""

from enum import StrEnum
from typing import NamedTuple

from anew.core.evidence.tree import Node


class Outcome(StrEnum):
    """What a decision came to."""

    RETRAIN = "retrain"
    ROLL_BACK = "roll_back"  # the version before comes back, and is given a chance before another is trained
    HOLD = "hold"
    BLOCKED = "blocked"  # the data or its monitor is bad: training on it would make things worse
    INSUFFICIENT = "insufficient"  # the evidence at hand cannot tell
    ERROR = "error"  # a rule could not be evaluated; a person has to look


class Decision(NamedTuple):
    """The outcome with the tree that explains it. With `shadow` it is only recorded."""

    outcome: Outcome
    tree: Node
    shadow: bool = False
