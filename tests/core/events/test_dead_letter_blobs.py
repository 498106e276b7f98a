"""Event Grid's dead-letter blobs: whatever was published is read as if it had been delivered."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.events.dead_letter_blobs import Foreign, Undelivered, read_blob
from anew.core.events.event import Event, Ignored, Rejected
from anew.core.events.parsing import parse_event
from anew.errors import MalformedBody
from tests.event_data import DATA, OTHER_WORKSPACE, WORKSPACE, load

GRID = {
    "deadLetterReason": "MaxDeliveryAttemptsExceeded",
    "deliveryAttempts": 30,
    "lastDeliveryOutcome": "NotFound",
    "publishTime": "2026-07-14T03:41:13.1Z",
    "lastDeliveryAttemptTime": "2026-07-15T03:41:13.1Z",
}
CLOUD = {name.lower(): value for name, value in GRID.items()}
AZURE_ML = sorted(file.name for file in DATA.glob("*.json") if not file.name.startswith("validation"))


def published(name: str) -> dict[str, Any]:
    raw = load(name)
    return raw[0] if isinstance(raw, list) else raw


def dead(name: str = "drift.grid.batch.json", **changes: Any) -> dict[str, Any]:
    """An event of a file as a dead-letter blob holds it."""
    raw = published(name)
    return raw | (CLOUD if "specversion" in raw else GRID) | changes


def read(*elements: Any) -> list[Undelivered]:
    return read_blob(json.dumps(elements).encode(), ())


@pytest.mark.parametrize("name", AZURE_ML)
def test_added_fields_change_nothing(name: str) -> None:
    """Fields added by Event Grid do not change how an event is read."""
    [undelivered] = read(dead(name))

    assert undelivered.reading == parse_event(published(name))
    assert undelivered.gave_up == "MaxDeliveryAttemptsExceeded"


def test_event_without_added_fields() -> None:
    """An event without the added fields is read too."""
    assert read(published("drift.cloud.json")) == [Undelivered(parse_event(published("drift.cloud.json")))]


def test_single_object_is_one_event() -> None:
    """A blob with one object is one event."""
    [undelivered] = read_blob(json.dumps(dead()).encode(), ())

    assert isinstance(undelivered.reading, Event)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_json_lines_are_events(start: str, end: str) -> None:
    """Each line of JSON Lines is one event."""
    # U+2028 ends a line for Python, not for JSON.
    lines = [json.dumps(dead(id=name), ensure_ascii=False) + end for name in ("one", "two\u2028b", "three")]

    readings = [undelivered.reading for undelivered in read_blob((start + "".join(lines)).encode(), ())]

    assert [reading.id for reading in readings if isinstance(reading, Event)] == ["one", "two\u2028b", "three"]


def test_bad_line_keeps_the_others() -> None:
    """A bad line is rejected, and the other lines are still read."""
    body = "\n".join([json.dumps(dead()), '{"id": "cut o', json.dumps(dead("drift.cloud.json"))])

    first, bad, last = (undelivered.reading for undelivered in read_blob(body.encode(), ()))

    assert isinstance(first, Event)
    assert isinstance(last, Event)
    assert isinstance(bad, Rejected)
    assert bad.raw == '{"id": "cut o'


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"3", b"[\n{},\n{}\n", json.dumps([dead()]).encode()[:-9], b"\xff\n\xfe"]
)
def test_other_content_is_malformed(body: bytes) -> None:
    """Content that is not a blob of events is malformed as a whole."""
    with pytest.raises(MalformedBody):
        read_blob(body, ())


def test_rejected_event_keeps_original() -> None:
    """A rejected event is kept as it was published."""
    [undelivered] = read(dead(id=None))

    assert isinstance(undelivered.reading, Rejected)
    assert undelivered.reading.raw == published("drift.grid.batch.json") | {"id": None}


@pytest.mark.parametrize(
    "element",
    [
        dead("validation.grid.batch.json"),
        dead(topic="/subscriptions/s/storageAccounts/a", eventType="Microsoft.Storage.BlobCreated"),
        dead("drift.cloud.json", source="urn:elsewhere", type="com.example.made"),
    ],
)
def test_events_of_others_are_foreign(element: dict[str, Any]) -> None:
    """An event of another service is foreign, with its type in the reason."""
    [undelivered] = read(element)

    kind = element.get("eventType") or element["type"]
    assert undelivered.reading == Foreign(f"'{kind}' is no event of Azure ML")


def test_bad_topic_is_not_foreign() -> None:
    """An Azure ML event with a damaged topic is rejected, not foreign."""
    [undelivered] = read(dead(topic="/subscriptions/cut"))

    assert isinstance(undelivered.reading, Rejected)


def test_other_workspace_is_ignored() -> None:
    """An event of another workspace is ignored."""
    [undelivered] = read_blob(json.dumps([dead()]).encode(), {OTHER_WORKSPACE})

    assert isinstance(undelivered.reading, Ignored)
    assert undelivered.reading.reason == f"workspace {WORKSPACE.name} is not watched"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(dead())), inner, max_size=6),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=6))
def test_one_reading_per_element(elements: list[Any]) -> None:
    """Every element of a blob gets one reading."""
    assert len(read(*elements)) == len(elements)
