"""The tree that explains a decision: rules, the verdict of each, and the values it compared.

Verdicts combine by Kleene's three-valued logic, in which an error is an unknown that a person should look at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What one rule of the tree said. Unknown: there was nothing to judge by; error: judging failed. Neither is ever a
    reason to retrain.
    """

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Node:
    """One rule of a decision: its verdict, one sentence for a person, the values compared (JSON data), and the rules
    below it.
    """

    rule: str
    verdict: Verdict
    sentence: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    children: tuple["Node", ...] = ()


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Conjunction: one no decides; otherwise one error, or else one unknown, leaves it open."""
    return _first_of((Verdict.NO, Verdict.ERROR, Verdict.UNKNOWN), verdicts) or Verdict.YES


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Disjunction: one yes decides; otherwise one error, or else one unknown, leaves it open."""
    return _first_of((Verdict.YES, Verdict.ERROR, Verdict.UNKNOWN), verdicts) or Verdict.NO


def _first_of(order: tuple[Verdict, ...], verdicts: Iterable[Verdict]) -> Verdict | None:
    given = tuple(verdicts)
    return next((verdict for verdict in order if verdict in given), None)
