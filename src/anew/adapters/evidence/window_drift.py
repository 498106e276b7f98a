"""Drift that anew measures itself, from rows in Parquet or CSV files or at any address pandas can read."""

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from anew.core.base.metrics import canonical_metric
from anew.core.drift import Drift, DriftValue, Metric, ReferenceProfile, azure_table, drift_table, from_json
from anew.core.drift import profile_reference as profile_of
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import DriftOfWindow, EvidenceSpec
from anew.core.policies.policy import Policy
from anew.errors import InvalidTable

SOURCE = "drift"
_METRICS = {canonical_metric(metric): metric for metric in Metric}

Table = dict[str, Any]


class DriftOfWindows:
    """Implements EvidenceReader for `drift`. What cannot be measured is a signal without a value."""

    def read(self, source: EvidenceSpec, policy: Policy, history: History, now: datetime) -> list[Signal]:
        assert isinstance(source, DriftOfWindow)
        window = read_table(source.window, source.window_rows)
        metrics = [_METRICS[canonical_metric(metric)] for metric in source.metrics]
        if source.mode == "azure":
            reference = read_table(source.reference)
            drifts = azure_table(
                _chosen(reference, source, window), _chosen(window, source, reference), metrics=metrics
            )
        else:
            profile = _profile(source.reference, _modified(source.reference))
            drifts = drift_table(_narrowed(profile, source, window), window, metrics=metrics)
        return [_signal(drift, now) for drift in drifts]


def read_table(address: str, newest: int | None = None) -> Table:
    """The columns of a file, in the order of time; with newest, only so many of its last rows. Raises InvalidTable."""
    try:
        frame = pd.read_parquet(address) if address.endswith(".parquet") else pd.read_csv(address)
    except (OSError, ValueError, ImportError) as error:
        raise InvalidTable(f"{address} cannot be read: {' '.join(str(error).split())[:200]}") from error
    rows = frame if newest is None else frame.tail(newest)
    return {str(name): rows[name].to_numpy() for name in rows.columns}


def write_profile(address: str, target: Path) -> ReferenceProfile:
    """Store the profile of a file's rows as JSON; the rows are not needed again. Raises InvalidTable."""
    from anew.core.drift import to_json

    profile = profile_of(read_table(address))
    target.write_text(to_json(profile) + "\n")
    return profile


@lru_cache(maxsize=64)
def _profile(address: str, _modified: float | None) -> ReferenceProfile:
    # A reference changes seldom and its profile takes a sort of each column: it is kept until the file changes.
    if not address.endswith(".json"):
        return profile_of(read_table(address))
    try:
        return from_json(Path(address).read_text())
    except OSError as error:
        raise InvalidTable(f"{address} cannot be read: {error.strerror}") from error


def _modified(address: str) -> float | None:
    try:
        return Path(address).stat().st_mtime
    except OSError:
        return None


def _chosen(table: Table, source: DriftOfWindow, other: Table) -> Table:
    names = source.features or tuple(name for name in table if name in other)
    if absent := [name for name in names if name not in table]:
        raise InvalidTable(f"{source.window} and {source.reference} do not both have the column {', '.join(absent)}")
    return {name: table[name] for name in names}


def _narrowed(profile: ReferenceProfile, source: DriftOfWindow, window: Table) -> ReferenceProfile:
    known = dict(profile.features)
    names = source.features or tuple(name for name in known if name in window)
    if absent := [name for name in names if name not in known]:
        raise InvalidTable(f"{source.reference} has no column {', '.join(absent)}")
    return ReferenceProfile(tuple((name, known[name]) for name in names))


def _signal(drift: Drift, now: datetime) -> Signal:
    measured = drift if isinstance(drift, DriftValue) else None
    return Signal(
        metric=str(drift.metric),
        value=measured.value if measured else None,
        source=SOURCE,
        at=now,
        feature=drift.feature,
        rows=drift.rows.window,
        noise_floor=measured.noise_floor if measured else None,
    )
