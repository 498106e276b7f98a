"""Events as JSON: the public line has its keys, and the ledger's form loses nothing."""

import json
from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from anew.core.events.event import Breach, Cause, Drift, Event, Workspace
from anew.core.events.parsing import parse_event
from anew.core.events.serialization import dump_event, event_line, load_event
from tests.event_data import load, run_status

names = st.text(min_size=1, max_size=20)
segments = st.text(
    st.characters(codec="ascii", exclude_characters="/\n", categories=["L", "N", "P"]), min_size=1, max_size=9
)
times = st.datetimes(timezones=st.just(UTC))
numbers = st.floats(allow_nan=False, allow_infinity=False)
drifts = st.builds(
    Drift,
    monitor=st.none() | names,
    coefficient=st.none() | numbers,
    monitor_id=st.none() | names,
    start=st.none() | times,
    end=st.none() | times,
    breaches=st.lists(
        st.builds(Breach, names, st.none() | numbers, st.none() | numbers, st.none() | names), max_size=3
    ).map(tuple),
)
events = st.builds(
    Event,
    type=names,
    id=names,
    workspace=st.builds(Workspace, segments, segments, segments),
    subject=st.text(),
    time=times,
    run_id=st.none() | names,
    status=st.none() | names,
    experiment=st.none() | names,
    model=st.none() | names,
    version=st.none() | names,
    service=st.none() | names,
    models=st.lists(names, max_size=3).map(tuple),
    tags=st.none() | st.dictionaries(names, st.text(), max_size=3),
    drift=st.none() | drifts,
    cause=st.none() | st.sampled_from(Cause),
)


@given(events)
def test_event_survives_serialization(event: Event) -> None:
    """An event survives the form in which the ledger stores it."""
    loaded = load_event(json.loads(dump_event(event)))

    assert loaded == event
    assert loaded.key == event.key
    assert loaded.workspace.arm_id == event.workspace.arm_id


def test_line_has_public_keys() -> None:
    """The public line has exactly the documented keys."""
    event = parse_event(load("breach.cloud.completed.json"))
    assert isinstance(event, Event)

    line = event_line(event)

    assert set(line) == {"type", "workspace", "subject", "id", "time", "run_id", "model", "version", "tags", "drift"}
    assert line["time"] == "2026-07-14T03:41:12.123456Z"
    assert line["workspace"].startswith("/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg1/")
    assert line["drift"]["breaches"][0] == {
        "metric": "JensenShannonDistance",
        "value": 0.31,
        "threshold": 0.1,
        "feature": "EDUCATION",
    }
    assert line["drift"]["start"] is None


def test_absent_values_are_null() -> None:
    """Absent values of the public line are null."""
    line = event_line(run_status("r1", "Running", Cause.RUN_PROGRESS))

    assert (line["model"], line["version"], line["tags"], line["drift"]) == (None, None, None, None)
