"""Evidence as JSON data, for the record of a decision, and back."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from anew.core.evidence.comparison import finite_or_none
from anew.core.evidence.signals import Evidence, Signal


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """The evidence as JSON data. A number that JSON does not have becomes null."""
    return {
        "signals": [_signal_json(signal) for signal in evidence.signals],
        "missing": [asdict(each) for each in evidence.missing],
    }


def load_signals(stored: Mapping[str, Any]) -> Iterator[Signal]:
    """The signals of evidence that `evidence_json` made."""
    for each in stored["signals"]:
        values: dict[str, Any] = {**each, "at": datetime.fromisoformat(each["at"])}
        yield Signal(**values)


def _signal_json(signal: Signal) -> dict[str, Any]:
    values = {**signal._asdict(), "at": signal.at.isoformat()}
    return {name: finite_or_none(value) if isinstance(value, float) else value for name, value in values.items()}
