"""Gains travel from a source to a rule as signals, and nothing is lost on the way."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.evidence.facts import arrange
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.gain.gain import GainEvidence
from anew.core.gain.signals import gain_of_facts, signals_of_gain

NOW = datetime(2026, 7, 14, tzinfo=UTC)
_SHARES = st.floats(-1, 1)


def _times(count: int) -> list[datetime]:
    return [NOW - timedelta(days=count - each) for each in range(count)]


@st.composite
def _evidence(draw: st.DrawFn) -> GainEvidence:
    count = draw(st.integers(0, 6))
    several = st.lists(_SHARES, min_size=count, max_size=count).map(tuple)
    return GainEvidence(
        gains=draw(several),
        errors=draw(st.lists(st.floats(0, 1), min_size=count, max_size=count).map(tuple)),
        rows=draw(st.lists(st.integers(1, 10**6), min_size=count, max_size=count).map(tuple)),
        typical_error=draw(st.floats(0, 1)),
        shortfalls=draw(st.just(()) | several),
        ageing=draw(st.floats(-10, 10)),
        anticipated=draw(st.floats(0, 1)),
        pending=draw(st.integers(0, 9)),
    )


@given(_evidence())
def test_evidence_survives_signals(evidence: GainEvidence) -> None:
    """Gain evidence survives the way through signals."""
    signals = signals_of_gain(evidence, _times(len(evidence.gains)), NOW, "gain")
    assert gain_of_facts(arrange(signals, History(), NOW)) == evidence


def test_no_signals_no_evidence() -> None:
    """Without signals there is no gain evidence."""
    assert gain_of_facts(arrange((), History(), NOW)) is None


def test_unknown_error_stays_infinite() -> None:
    """An unknown typical error stays infinite."""
    evidence = GainEvidence((), (), (), math.inf)
    found = gain_of_facts(arrange(signals_of_gain(evidence, [], NOW, "gain"), History(), NOW))
    assert found is not None
    assert found.typical_error == math.inf


@pytest.mark.parametrize(("state", "left"), [(AttemptState.REGISTERED, 1), (AttemptState.REJECTED, 3)])
def test_earlier_model_does_not_count(state: AttemptState, left: int) -> None:
    """Readings of an earlier model do not count; a rejected candidate changes nothing."""
    evidence = GainEvidence((0.1, 0.2, 0.3), (0.01,) * 3, (9,) * 3, 0.01)
    history = History((Attempt("r-1", NOW - timedelta(days=2), state),))
    found = gain_of_facts(arrange(signals_of_gain(evidence, _times(3), NOW, "gain"), history, NOW))
    assert found is not None
    assert len(found.gains) == left
