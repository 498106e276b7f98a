import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.gain.gain import AdaptiveGain, GainEvidence, adaptive_gain_cusum, gain_cusum
from anew.core.gain.matrix import GainMatrix, ageing_at, evidence_at, steady_gain_at

ROWS = 400


def evidence(*gains: float, error: float = 0.01, **more: float) -> GainEvidence:
    filled = GainEvidence(gains, (error,) * len(gains), (ROWS,) * len(gains), typical_error=error)
    return replace(filled, **more)


def matrix(gain: np.ndarray, error: float = 0.01, first: int = 0) -> GainMatrix:
    """Of surrogates that are right on 0.8 of the rows when fresh, and lose these gains when older."""
    older, later = np.triu(np.ones_like(gain, dtype=bool), 2), np.triu(np.ones_like(gain, dtype=bool), 1)
    accuracy = np.where(later, 0.8 - np.where(older, gain, 0), np.nan)
    return GainMatrix(accuracy, np.where(later, error, np.nan), np.full(len(gain), ROWS, dtype=np.int64), first)


gains = st.lists(st.floats(-0.5, 0.5), max_size=12)
costs = st.floats(0.001, 10)


@given(gains, costs, costs, st.floats(-5, 10), st.floats(0, 0.2), st.integers(0, 3))
def test_cost_is_monotonic(
    seen: list[float], one: float, other: float, ageing: float, anticipated: float, pending: int
) -> None:
    """A retraining that is worth a high cost is worth a low one."""
    known = evidence(*seen, ageing=ageing, anticipated=anticipated, pending=pending)
    low, high = sorted((one, other))
    for rule in (gain_cusum, adaptive_gain_cusum):
        assert rule(known, cost=low).threshold <= rule(known, cost=high).threshold
        assert rule(known, cost=low).retrain or not rule(known, cost=high).retrain


@given(gains, costs, st.integers(0, 11), st.floats(0, 0.5))
def test_gain_is_monotonic(seen: list[float], cost: float, index: int, extra: float) -> None:
    """More gain never turns a retraining into a hold."""
    more = [gain + extra if position == index else gain for position, gain in enumerate(seen)]
    for rule in (gain_cusum, adaptive_gain_cusum):
        assert rule(evidence(*more), cost=cost).retrain >= rule(evidence(*seen), cost=cost).retrain


def test_gain_cusum_fires_at_half_cost() -> None:
    """The gain CUSUM fires at half the cost beyond its allowance."""
    allowance = 0.25 * math.sqrt(0.25 / ROWS)
    assert not gain_cusum(evidence(0.05), cost=0.1).retrain
    assert gain_cusum(evidence(0.05 + allowance + 1e-9), cost=0.1).retrain
    assert gain_cusum(evidence(0.03, 0.04), cost=0.1).statistic == pytest.approx(0.07 - 2 * allowance)


def test_lost_gains_are_forgotten() -> None:
    """Gains that were lost again are forgotten."""
    assert gain_cusum(evidence(0.04, -0.5, 0.04), cost=0.1).statistic == pytest.approx(
        gain_cusum(evidence(0.04), cost=0.1).statistic
    )


def test_unproven_gain_must_exceed_noise() -> None:
    """An unproven gain must exceed chance, however cheap a retraining is."""
    unproven = evidence(0.05, error=0.02)
    held = adaptive_gain_cusum(unproven, cost=0.001)
    assert not held.retrain
    assert held.threshold == pytest.approx(5 * 0.02)
    assert "chance" in held.sentence
    assert adaptive_gain_cusum(evidence(0.14, error=0.02), cost=0.001).retrain


def test_proven_ageing_leaves_cost() -> None:
    """Once ageing is proven, only the cost decides."""
    proven = evidence(0.04, 0.06, error=0.02, ageing=6.0)
    assert adaptive_gain_cusum(proven, cost=0.1).retrain
    verdict = adaptive_gain_cusum(proven, cost=0.2)
    assert not verdict.retrain
    assert verdict.threshold == pytest.approx(0.18)
    assert "90% of what a retraining costs" in verdict.sentence


def test_anticipated_gain_retrains_early() -> None:
    """An anticipated gain retrains before it is lost."""
    assert adaptive_gain_cusum(evidence(ageing=6.0, anticipated=0.05), cost=0.05).retrain
    assert not adaptive_gain_cusum(evidence(ageing=6.0, anticipated=0.04), cost=0.05).retrain


def test_shortfalls_count_after_proof() -> None:
    """Shortfalls of the champion count in part, and only once ageing is proven."""
    worse = replace(evidence(0.04, 0.06, ageing=6.0), shortfalls=(0.1, 0.1))
    assert adaptive_gain_cusum(worse, cost=0.1).statistic == pytest.approx(0.16)
    unproven = replace(worse, ageing=0.0)
    without = replace(unproven, shortfalls=())
    assert adaptive_gain_cusum(unproven, cost=0.1) == adaptive_gain_cusum(without, cost=0.1)


def test_shortfall_is_against_young_lead() -> None:
    """A shortfall is measured against the lead that models have when young."""
    known = matrix(np.zeros((12, 12)))
    # The first model led its surrogates by 0.1 in its first batches; the champion leads by 0.05, then by nothing.
    records = {0: [0.9, 0.9, 0.9, 0.9], 4: [0.85, 0.85, 0.85, 0.8, 0.8]}
    seen = evidence_at(known, champion=4, labelled=9, records=records)
    assert seen.shortfalls == pytest.approx((0.025, 0.025, 0.075, 0.075))
    assert len(evidence_at(known, champion=4, labelled=7, records=records).shortfalls) == 2
    assert evidence_at(known, champion=4, labelled=9).shortfalls == ()


def test_late_labels_count_towards_cost() -> None:
    """Late labels count towards the cost and never towards the proof."""
    late = evidence(0.1, error=0.01, pending=2)
    assert adaptive_gain_cusum(late, cost=0.35).retrain
    assert not adaptive_gain_cusum(replace(late, pending=0), cost=0.35).retrain
    assert not adaptive_gain_cusum(evidence(0.1, error=0.03, pending=9), cost=0.01).retrain


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_non_finite_gain_never_retrains(broken: float) -> None:
    """A gain that is not finite never retrains."""
    for rule in (gain_cusum, adaptive_gain_cusum):
        assert not rule(evidence(broken, broken), cost=0.01).retrain
    assert not adaptive_gain_cusum(evidence(0.01, anticipated=broken), cost=0.01).retrain


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan, math.inf])
def test_invalid_cost_is_refused(cost: float) -> None:
    """A cost that is not a positive finite number is refused."""
    with pytest.raises(ValueError, match="cost"):
        adaptive_gain_cusum(evidence(0.1), cost=cost)
    with pytest.raises(ValueError, match="cost"):
        gain_cusum(evidence(0.1), cost=cost)


def test_verdict_names_its_parts() -> None:
    """The verdict names the parts of its statistic and of its threshold."""
    verdict = adaptive_gain_cusum(evidence(0.05, ageing=7.0, anticipated=0.02, pending=1), cost=0.1)
    assert verdict.statistic == pytest.approx(
        verdict.parts["summed_gain"] + verdict.parts["anticipated_gain"] + verdict.parts["pending_gain"]
    )
    assert verdict.threshold == max(verdict.parts["cost_threshold"], verdict.parts["noise_threshold"])
    assert f"{verdict.threshold:.4f}" in verdict.sentence


def test_evidence_ignores_unlabelled_batches() -> None:
    """The evidence reads nothing newer than the labels."""
    rng = np.random.default_rng(0)
    gain = rng.normal(size=(30, 30)) * 0.02
    changed = gain.copy()
    changed[:, 21:] = 9.0
    before, after = (evidence_at(matrix(values), champion=12, labelled=20, now=22) for values in (gain, changed))
    assert before == after
    assert before.pending == 2
    assert len(before.gains) == 20 - 12 - 1


def test_ageing_requires_losing_models() -> None:
    """Ageing is found where old models lose, and nowhere else."""
    batches = np.arange(40)
    age = np.maximum(0, batches[np.newaxis, :] - 1 - batches[:, np.newaxis])
    assert ageing_at(matrix(age * 0.002), 39) > AdaptiveGain().proof
    assert ageing_at(matrix(np.zeros((40, 40))), 39) == 0
    assert ageing_at(matrix(age * 0.002), 5) == 0  # too early to tell


def test_only_steady_ageing_is_anticipated() -> None:
    """Steady ageing is anticipated, and a rare jump is not."""
    steady = np.full((30, 30), 0.01)
    assert steady_gain_at(matrix(steady), 29) == pytest.approx(0.01)
    jumps = np.zeros((30, 30))
    jumps[:, 20] = 0.3
    assert steady_gain_at(matrix(jumps), 25) == 0
    assert steady_gain_at(matrix(steady), 4) == 0  # too early to tell


def test_gain_matrix_is_square() -> None:
    """A gain matrix that is not square is refused."""
    with pytest.raises(ValueError, match="square"):
        GainMatrix(np.zeros((3, 4)), np.zeros((3, 3)), np.ones(3, dtype=np.int64), 0)
