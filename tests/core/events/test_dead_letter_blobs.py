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
def test_added_fields_do_not_change_what_is_read(name: str) -> None:
    [undelivered] = read(dead(name))

    assert undelivered.reading == parse_event(published(name))
    assert undelivered.gave_up == "MaxDeliveryAttemptsExceeded"


def test_an_event_without_added_fields_is_read_too() -> None:
    assert read(published("drift.cloud.json")) == [Undelivered(parse_event(published("drift.cloud.json")))]


def test_one_object_is_a_blob_of_one_event() -> None:
    [undelivered] = read_blob(json.dumps(dead()).encode(), ())

    assert isinstance(undelivered.reading, Event)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_json_lines_are_read_a_line_an_event(start: str, end: str) -> None:
    # U+2028 ends a line for Python, not for JSON.
    lines = [json.dumps(dead(id=name), ensure_ascii=False) + end for name in ("one", "two\u2028b", "three")]

    readings = [undelivered.reading for undelivered in read_blob((start + "".join(lines)).encode(), ())]

    assert [reading.id for reading in readings if isinstance(reading, Event)] == ["one", "two\u2028b", "three"]


def test_a_bad_line_does_not_cost_the_others() -> None:
    body = "\n".join([json.dumps(dead()), '{"id": "cut o', json.dumps(dead("drift.cloud.json"))])

    first, bad, last = (undelivered.reading for undelivered in read_blob(body.encode(), ()))

    assert isinstance(first, Event)
    assert isinstance(last, Event)
    assert isinstance(bad, Rejected)
    assert bad.raw == '{"id": "cut o'


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"3", b"[\n{},\n{}\n", json.dumps([dead()]).encode()[:-9], b"\xff\n\xfe"]
)
def test_what_is_no_blob_is_malformed_as_a_whole(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read_blob(body, ())


def test_what_cannot_be_read_is_kept_as_it_was_published() -> None:
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
def test_events_of_others_are_foreign_with_their_type(element: dict[str, Any]) -> None:
    [undelivered] = read(element)

    kind = element.get("eventType") or element["type"]
    assert undelivered.reading == Foreign(f"'{kind}' is no event of Azure ML")


def test_an_azure_ml_event_with_a_spoilt_topic_is_not_foreign() -> None:
    [undelivered] = read(dead(topic="/subscriptions/cut"))

    assert isinstance(undelivered.reading, Rejected)


def test_an_event_of_another_workspace_is_ignored() -> None:
    [undelivered] = read_blob(json.dumps([dead()]).encode(), {OTHER_WORKSPACE})

    assert isinstance(undelivered.reading, Ignored)
    assert undelivered.reading.reason == f"workspace {WORKSPACE.name} is not watched"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(dead())), inner, max_size=6),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=6))
def test_every_element_gets_one_reading(elements: list[Any]) -> None:
    assert len(read(*elements)) == len(elements)
