"""Combining verdicts: Kleene's three-valued logic, in which an error is an unknown that somebody should look at.

By identity, in one pass: this is the inside of every decision, and comparing or hashing enum members calls Python.
"""

from collections.abc import Iterable

from anew.core.evidence.tree import Verdict

_YES, _NO, _UNKNOWN, _ERROR = Verdict.YES, Verdict.NO, Verdict.UNKNOWN, Verdict.ERROR


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Conjunction: one no decides, else one error or unknown leaves it open."""
    result = _YES
    for verdict in verdicts:
        if verdict is _NO:
            return _NO
        if verdict is _ERROR or (verdict is _UNKNOWN and result is _YES):
            result = verdict
    return result


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Disjunction: one yes decides, else one error or unknown leaves it open."""
    result = _NO
    for verdict in verdicts:
        if verdict is _YES:
            return _YES
        if verdict is _ERROR or (verdict is _UNKNOWN and result is _NO):
            result = verdict
    return result
