"""Causes: each is handled in one way, has an object that names its happening, and comes from a known type."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from anew.core.events.event import Cause, Event, EventType, Ignored
from anew.core.events.handling import CAUSES_OF, Flow, SettledAtOnce, handling
from tests.event_data import causes_by_type, manual, specimens

each_cause = pytest.mark.parametrize("cause", Cause)


def events_of(cause: Cause) -> list[Event]:
    """The specimens of a cause; one without any fails."""
    events = [event for event in (*specimens(), manual()) if isinstance(event, Event) and event.cause is cause]
    assert events, f"no file under tests/data/events is an event with the cause {cause}"
    return events


def renamed(event: Event) -> Iterator[Event]:
    """The event as it would be of another run, model, version or service: for each name it has, one."""
    for name in ("run_id", "model", "version", "service"):
        if getattr(event, name) is not None:
            yield replace(event, **{name: "another"}, models=("another:1",) if event.models else ())


@each_cause
def test_cause_has_one_handling(cause: Cause) -> None:
    """A flow handles it or a sentence settles it, never both."""
    flows = [flow for flow in Flow if cause in CAUSES_OF[flow]]
    settled = handling(cause)

    assert isinstance(settled, SettledAtOnce) is not bool(flows)
    assert len(flows) <= 1
    assert not isinstance(settled, SettledAtOnce) or settled.outcome.endswith(".")


@pytest.mark.parametrize("flow", Flow)
def test_flow_has_causes(flow: Flow) -> None:
    """Every flow has causes."""
    assert CAUSES_OF[flow]


@each_cause
def test_objects_of_happenings_differ(cause: Cause) -> None:
    """Two events of one cause about different runs, models or services have different objects and keys."""
    for event in events_of(cause):
        others = [replace(event, id="another")] if cause is Cause.MANUAL else list(renamed(event))
        assert others
        assert "None" not in event.object
        assert event.object not in {other.object for other in others}
        assert event.key not in {other.key for other in others}


@pytest.mark.parametrize("cause", sorted(set(Cause) - {Cause.MANUAL}))
def test_object_ignores_the_id(cause: Cause) -> None:
    """An event and a poll know the same object, so that it cannot depend on the event's id."""
    for event in events_of(cause):
        assert replace(event, id="another").key == event.key


def test_causes_have_distinct_keys() -> None:
    """Events that differ only in their cause have different keys."""
    assert len({replace(manual(), cause=cause, run_id="r").key for cause in Cause}) == len(Cause)


@pytest.mark.parametrize("kind", EventType)
def test_type_has_a_specimen(kind: EventType) -> None:
    """A file under tests/data/events has an event of this type, and it is read."""
    assert [event for event in specimens() if isinstance(event, Event) and event.type == kind]
    assert causes_by_type()[kind]


def test_unknown_type_is_ignored() -> None:
    """An event of unknown type is ignored."""
    assert any(isinstance(parsed, Ignored) for parsed in specimens())
