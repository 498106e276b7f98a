"""Parsing: every documented and captured variation becomes the same event, and nothing raises."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anew.core.events.event import Breach, Cause, Event, Ignored, Parsed, Rejected
from anew.core.events.parsing import accept, parse_body, parse_event
from anew.core.events.serialization import dump_event, load_event
from anew.errors import MalformedBody
from tests.event_data import DATA, OTHER_WORKSPACE, WORKSPACE, load

BREACHES = (
    Breach("JensenShannonDistance", 0.31, 0.1, "EDUCATION"),
    Breach("NormalizedWassersteinDistance", 0.22, 0.1, "LIMIT_BAL"),
)
DRIFT_RUN = "01d29aa4-e6a4-470a-9ef3-66660d21f8ef_1571590300380"


def one(name: str) -> Parsed:
    (parsed,) = parse_body((DATA / name).read_bytes())
    return parsed


def event(name: str) -> Event:
    parsed = one(name)
    assert isinstance(parsed, Event), parsed
    return parsed


def example(name: str) -> dict[str, Any]:
    raw = load(name)
    return raw[0] if isinstance(raw, list) else raw


def changed(name: str, **changes: Any) -> Parsed:
    """The event of a file with fields replaced, `data__x` meaning x of its data; None as `...` removes."""
    raw = example(name)
    for path, value in changes.items():
        target, key = (raw["data"], path.removeprefix("data__")) if path.startswith("data__") else (raw, path)
        target.pop(key, None)
        if value is not ...:
            target[key] = value
    return parse_event(raw)


# --- variations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["drift.grid.batch.json", "drift.cloud.json", "drift.cloud.nulls.json"])
def test_drift_in_every_spelling(name: str) -> None:
    """A drift event in every spelling names the run, the monitor and the coefficient."""
    parsed = event(name)

    assert (parsed.cause, parsed.run_id) == (Cause.DRIFT, DRIFT_RUN)
    assert parsed.drift is not None
    assert (parsed.drift.monitor, parsed.drift.coefficient) == ("myDriftMonitor", 0.8350349068479208)
    assert parsed.drift.monitor_id == "01d29aa4-e6a4-470a-9ef3-66660d21f8ef"
    assert parsed.workspace == WORKSPACE


def test_drift_window_is_utc() -> None:
    """The window of a drift is UTC, whatever its offset."""
    offset, utc = event("drift.cloud.json").drift, event("drift.grid.batch.json").drift

    assert offset is not None
    assert utc is not None
    assert offset.start == utc.start == datetime(2019, 7, 4, tzinfo=UTC)
    assert offset.start is not None
    assert offset.start.tzinfo is UTC


def test_drift_without_window() -> None:
    """A drift event without a window is still drift."""
    drift = event("drift.cloud.nulls.json").drift

    assert drift is not None
    assert (drift.start, drift.end) == (None, None)


@pytest.mark.parametrize(
    "name", ["run-completed.cloud.json", "run-completed.grid.json", "run-completed.grid.batch.json"]
)
def test_completed_run_has_one_key(name: str) -> None:
    """A completed run has one key in every spelling."""
    parsed = event(name)

    assert (parsed.cause, parsed.run_id, parsed.status) == (Cause.RUN_COMPLETED, "AutoML_5", "Completed")
    assert parsed.key == event("run-completed.cloud.json").key


def test_tags_are_text_or_absent() -> None:
    """Tags become text, and empty tags differ from absent ones."""
    assert event("run-completed.grid.json").tags == {
        "azureml.pipelineid": "p1",
        "attempt": "2",
        "final": "True",
        "nothing": "",
    }
    assert event("run-completed.cloud.json").tags == {}
    assert event("run-completed.grid.batch.json").tags is None


def test_time_is_cut_to_microseconds() -> None:
    """A time with seven fraction digits is cut to six."""
    assert event("run-running.grid.batch.json").time == datetime(2020, 3, 9, 23, 53, 4, 457972, tzinfo=UTC)


def test_time_without_offset_is_utc() -> None:
    """A time without an offset is UTC."""
    parsed = changed("run-completed.cloud.json", time="2026-07-14T03:41:12")

    assert isinstance(parsed, Event)
    assert parsed.time == datetime(2026, 7, 14, 3, 41, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", ["model-registered.cloud.json", "model-registered.grid.batch.json"])
def test_registered_version_is_text(name: str) -> None:
    """The version of a registered model is text, also when sent as a number."""
    parsed = event(name)

    assert (parsed.model, parsed.version, parsed.cause) == ("sklearn_regression_model", "20", Cause.MODEL_REGISTERED)
    assert parsed.tags == {"area": "diabetes", "type": "regression"}


def test_registered_model_from_subject() -> None:
    """A registered model without data is read from the subject."""
    parsed = changed("model-registered.cloud.json", data=...)

    assert isinstance(parsed, Event)
    assert (parsed.model, parsed.version) == ("sklearn_regression_model", "20")


@pytest.mark.parametrize("name", ["model-deployed.cloud.json", "model-deployed.grid.batch.json"])
def test_deployed_models_share_a_name(name: str) -> None:
    """Two deployed versions of one model share its name and have no single version."""
    parsed = event(name)

    assert parsed.models == ("sklearn_regression_model:1", "sklearn_regression_model:2")
    assert (parsed.service, parsed.model, parsed.version) == ("my-sklearn-service", "sklearn_regression_model", None)


@pytest.mark.parametrize(
    ("ids", "model", "version"), [("a:1", "a", "1"), ("a:1,b:2", None, None), ("a", "a", None), ("a:1,b:1", None, "1")]
)
def test_deployed_model_in_common(ids: str, model: str, version: str) -> None:
    """The model and the version of a deployment are what all its models have in common."""
    parsed = changed("model-deployed.cloud.json", data__ModelIds=ids)

    assert isinstance(parsed, Event)
    assert (parsed.model, parsed.version) == (model, version)


def test_deployment_key_is_short() -> None:
    """The key of many deployed models is short and still distinguishes them."""
    models = ",".join(f"model-{number}:1" for number in range(110))
    one, other = (changed("model-deployed.cloud.json", data__ModelIds=ids) for ids in (models, models + "0"))

    assert isinstance(one, Event)
    assert isinstance(other, Event)
    assert len(one.key) < 1024
    assert one.key != other.key


# --- causes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["breach.grid.batch.json", "breach.cloud.running.json", "breach.cloud.completed.json"])
def test_breach_tag_is_drift(name: str) -> None:
    """A breach tag is drift, whatever the status of the run."""
    parsed = event(name)

    assert parsed.cause is Cause.DRIFT
    assert parsed.drift is not None
    assert (parsed.drift.monitor, parsed.drift.breaches) == ("credit_monitor_data_drift", BREACHES)
    assert parsed.key == event("breach.grid.batch.json").key


def test_cut_off_breach_tag() -> None:
    """A breach tag that was cut off is drift without details."""
    parsed = event("breach.grid.cut-off.json")

    assert parsed.cause is Cause.DRIFT
    assert parsed.drift is not None
    assert (parsed.drift.monitor, parsed.drift.breaches) == ("credit_monitor_data_drift", ())


def test_failed_monitor_is_not_drift() -> None:
    """A failed monitor is not drift."""
    parsed = event("monitor-failed.grid.batch.json")

    assert (parsed.cause, parsed.drift) == (Cause.MONITOR_FAILED, None)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ("Completed", Cause.RUN_COMPLETED),
        ("completed", Cause.RUN_COMPLETED),
        ("failed", Cause.RUN_FAILED),
        ("CANCELED", Cause.RUN_FAILED),
        ("Cancelled", Cause.RUN_FAILED),
        ("NotResponding", Cause.RUN_FAILED),
        ("Finalizing", Cause.RUN_PROGRESS),
        ("Dreaming", Cause.RUN_PROGRESS),
        (None, Cause.RUN_PROGRESS),
    ],
)
def test_status_decides_the_cause(status: str | None, cause: Cause) -> None:
    """The status of a run decides the cause, in any case of its letters."""
    parsed = changed("run-failed.cloud.json", data__runStatus=status)

    assert isinstance(parsed, Event)
    assert parsed.cause is cause


def test_progress_key_per_status() -> None:
    """The progress of one run has a key for each status."""
    running = changed("run-failed.cloud.json", data__runStatus="Running")
    queued = changed("run-failed.cloud.json", data__runStatus="Queued")

    assert isinstance(running, Event)
    assert isinstance(queued, Event)
    assert running.key != queued.key


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("run-completed.cloud.json", {"id": ...}, "id is missing"),
        ("run-completed.cloud.json", {"id": "  "}, "id is missing"),
        ("run-completed.cloud.json", {"id": 7}, "id must be text, found 7"),
        ("run-completed.cloud.json", {"id": "a\x00b"}, "id must be"),
        ("run-completed.cloud.json", {"id": "a\ud800"}, "id must be"),
        ("run-completed.cloud.json", {"id": "x" * 1000}, "id must be"),
        ("run-completed.cloud.json", {"source": ...}, "source is missing"),
        ("run-completed.cloud.json", {"source": "/subscriptions/1"}, "source must be the resource id"),
        ("run-completed.grid.json", {"topic": ...}, "topic is missing"),
        (
            "run-completed.grid.json",
            {"eventTime": "yesterday"},
            "eventTime must be an RFC 3339 time, found 'yesterday'",
        ),
        ("run-completed.cloud.json", {"time": 1571590300380}, "time must be"),
        ("run-completed.cloud.json", {"time": "0001-01-01T00:00:00+14:00"}, "time must be"),
        ("run-completed.cloud.json", {"specversion": "0.3"}, "specversion must be"),
        ("run-completed.cloud.json", {"type": ...}, "type is missing"),
        ("run-completed.cloud.json", {"data": [1]}, "data must be an object"),
        ("run-completed.cloud.json", {"data": None, "subject": ""}, "data.runId is missing"),
        ("drift.cloud.json", {"data__DriftCoefficient": ...}, "data.driftCoefficient is missing"),
        ("drift.cloud.json", {"data__DriftCoefficient": 1.01}, "data.driftCoefficient must be a number in 0..1"),
        ("drift.cloud.json", {"data__DriftCoefficient": -0.1}, "data.driftCoefficient must be"),
        ("drift.cloud.json", {"data__DriftCoefficient": True}, "data.driftCoefficient must be"),
        ("drift.cloud.json", {"data__DriftCoefficient": "nan"}, "data.driftCoefficient must be"),
        ("drift.cloud.json", {"data__DriftCoefficient": "0_1"}, "data.driftCoefficient must be"),
        ("drift.cloud.json", {"data__DriftCoefficient": 10**400}, "data.driftCoefficient must be"),
        ("drift.cloud.json", {"data__RunId": ...}, "data.runId is missing"),  # its subject holds only `{}`
        ("model-registered.cloud.json", {"data__ModelVersion": True}, "data.modelVersion must be"),
        ("model-registered.cloud.json", {"data__ModelVersion": 3.0}, "data.modelVersion must be"),
        ("model-registered.cloud.json", {"data": None, "subject": "models/x"}, "data.modelName is missing"),
        ("model-deployed.cloud.json", {"data__ModelIds": " , "}, "data.modelIds must name a model"),
        ("model-deployed.cloud.json", {"data__ServiceName": 1}, "data.serviceName must be text"),
    ],
)
def test_bad_field_is_rejected(name: str, changes: dict[str, Any], reason: str) -> None:
    """A field that cannot be used is rejected by name."""
    parsed = changed(name, **changes)

    assert isinstance(parsed, Rejected), parsed
    assert reason in parsed.reason
    assert len(parsed.reason) < 400


@pytest.mark.parametrize("raw", [None, 1, "text", [], True])
def test_non_object_is_rejected(raw: object) -> None:
    """An element that is not an object is rejected."""
    assert isinstance(parse_event(raw), Rejected)


def test_unknown_type_is_ignored() -> None:
    """An event of unknown type is ignored and keeps what was read."""
    parsed = one("unknown.cloud.json")

    assert isinstance(parsed, Ignored)
    assert (parsed.event.cause, parsed.event.run_id) == (None, "AutoML_5")


def test_other_workspace_is_ignored() -> None:
    """An event of another workspace is ignored, unless any workspace is accepted."""
    parsed = event("drift.cloud.json")

    assert isinstance(accept(parsed, {OTHER_WORKSPACE}), Ignored)
    assert accept(parsed, {OTHER_WORKSPACE, WORKSPACE}) is parsed
    assert accept(parsed, set()) is parsed


def test_upper_case_topic() -> None:
    """A topic in upper case is the same workspace."""
    assert event("run-completed.grid.batch.json").workspace == WORKSPACE


# --- bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"5",
        b'"text"',
        b"null",
        b"\xff\xfe[]",
        b'{"id": NaN}',
        b"[Infinity]",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[" + b"9" * 10_000 + b"]",
    ],
    ids=["empty", "cut", "number", "text", "null", "utf-16", "nan", "infinity", "deep-array", "deep-object", "huge"],
)
def test_malformed_body(body: bytes) -> None:
    """A body that cannot hold an event is malformed."""
    with pytest.raises(MalformedBody):
        parse_body(body)


def test_duplicate_keys_are_tolerated() -> None:
    """A duplicate key in a JSON object is tolerated."""
    body = (DATA / "run-completed.cloud.json").read_text().replace('"id":', '"id": "first", "id":', 1)

    assert isinstance(parse_body(body.encode())[0], Event)


def test_bad_element_keeps_the_others() -> None:
    """A bad element is rejected, and the others of its batch are read."""
    good = load("drift.cloud.json")

    first, second, third = parse_body(json.dumps([good, {"id": 1}, good]).encode())

    assert isinstance(first, Event)
    assert isinstance(third, Event)
    assert isinstance(second, Rejected)


@pytest.mark.parametrize(
    ("spelled", "counts"),
    [
        ({"RUNTAGS": {"a": "1"}}, {"a": "1"}),
        ({"runTags": None, "RunTags": {"a": "1"}}, {"a": "1"}),
        ({"RunTags": {"a": "1"}, "runTags": {"b": "2"}}, {"b": "2"}),
        ({"RUNTAGS": None, "RunTags": {"a": "1"}, "runtags": {"b": "2"}}, {"a": "1"}),
    ],
)
def test_documented_spelling_wins(spelled: dict[str, Any], counts: dict[str, str]) -> None:
    """Of fields that differ in case the documented spelling counts, else the first with a value."""
    raw = load("run-completed.cloud.json")
    raw["data"] = {"runId": "r1"} | spelled

    event = parse_event(raw)

    assert isinstance(event, Event)
    assert event.tags == counts


def test_deeply_nested_tag() -> None:
    """A deeply nested tag is kept as some text."""
    nested = "[" * 400 + "]" * 400
    body = json.dumps(load("run-completed.cloud.json")).replace('"runTags": {}', f'"runTags": {{"deep": {nested}}}')

    (parsed,) = parse_body(body.encode())

    assert isinstance(parsed, Event)
    assert parsed.tags is not None
    assert parsed.tags["deep"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
EXAMPLES = [path.name for path in sorted(DATA.glob("*.json"))]


@given(JSON)
def test_any_json_parses(raw: object) -> None:
    """Any JSON parses without an error."""
    assert isinstance(parse_event(raw), Event | Ignored | Rejected)


@settings(max_examples=300)
@given(st.sampled_from(EXAMPLES), st.data())
def test_any_replaced_field_parses(name: str, data: st.DataObject) -> None:
    """A real event with any field replaced parses without an error."""
    raw = example(name)
    places = [(raw, key) for key in raw] + [(raw["data"], key) for key in raw["data"]]
    target, key = data.draw(st.sampled_from(places))
    target[key] = data.draw(JSON)

    parsed = parse_event(raw)

    assert isinstance(parsed, Event | Ignored | Rejected)


EDGES: list[Any] = [
    *("", " ", " a", "a ", "\u00a0a", "a\nb", "é", "\x7f", "\x00", "a" * 256, "a" * 257, " " + "a" * 256, "a" * 1025),
    *("a" * 255 + " b", "1.0", "1.", "2", "2026-07-14T03:41:12", "2026-07-14T03:41:12+14:00", "0001-01-01T00:00+14:00"),
    *(
        0,
        1,
        20,
        -1,
        0.5,
        -0.0,
        1.0,
        2**64,
        10**31,
        True,
        None,
        [],
        {},
        {"a": "b"},
        {"a": 1},
        {"a": None},
        {" ": "\x00"},
    ),
]
STRANGERS = ["type", "eventType", "topic", "specversion", "SPECVERSION", "RunTags", "runId", "RUNID", "data", "other"]


def check(parsed: Parsed) -> None:
    """An event has only texts that a database can keep, none of them blank; a rejection has a short reason."""
    if isinstance(parsed, Rejected):
        assert 0 < len(parsed.reason) < 400
        return
    event = parsed.event if isinstance(parsed, Ignored) else parsed
    names = [event.id, event.run_id, event.status, event.experiment, event.model, event.version, event.service]
    if event.drift is not None:
        names += [event.drift.monitor, event.drift.monitor_id, event.drift.baseline_dataset_id]
    for name in [*names, *event.models]:
        assert name is None or (name and name == name.strip())
    assert len(event.key) < 1500
    assert load_event(json.loads(dump_event(event))) == event
    assert "\x00" not in "".join([event.key, event.subject, *(event.tags or {}), *(event.tags or {}).values()])


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not name.startswith(("unknown.", "validation."))])
def test_recorded_event_is_known(name: str) -> None:
    """Every recorded element is an event of a known type, but the two that are recorded as strangers."""
    assert all(isinstance(parsed, Event) for parsed in parse_body((DATA / name).read_bytes()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_any_changed_field_is_read_or_rejected(name: str) -> None:
    """Whatever one field holds, or when it is missing, the element is a sound event or is rejected."""
    raw = example(name)

    for target in (raw, raw["data"]):
        for key in [*target, *STRANGERS]:
            before = target.get(key, ...)
            for value in EDGES:
                target[key] = value
                check(parse_event(raw))
            target.pop(key)
            check(parse_event(raw))
            target.update({} if before is ... else {key: before})


@given(st.sampled_from(EXAMPLES), st.data())
def test_several_changed_fields_are_read_or_rejected(name: str, data: st.DataObject) -> None:
    """The same for several fields at once; an event reads the same however its text escapes characters."""
    raw = example(name)
    places = [(target, key) for target in (raw, raw["data"]) for key in [*target, *STRANGERS]]
    for target, key in data.draw(st.lists(st.sampled_from(places), min_size=2, max_size=4)):
        target[key] = data.draw(st.sampled_from(EDGES) | JSON)

    with suppress(MalformedBody):
        plain, escaped = (parse_body(json.dumps(raw, ensure_ascii=escape).encode()) for escape in (False, True))
        assert plain == escaped
        check(plain[0])


@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
def test_casing_of_names_does_not_matter(name: str, data: st.DataObject) -> None:
    """An event reads the same whatever the casing of its fields' names."""
    casings = st.sampled_from([str, str.lower, str.upper, str.title])

    def respelled(fields: dict[str, Any]) -> dict[str, Any]:
        return {data.draw(casings)(key): value for key, value in fields.items()}

    def reading(raw: dict[str, Any]) -> object:
        parsed = parse_event(raw)
        return parsed.reason if isinstance(parsed, Rejected) else parsed

    raw = example(name)

    assert reading(respelled(raw | {"data": respelled(raw["data"])})) == reading(raw)


@pytest.mark.parametrize("body", [b"", b"[]", b"[1]"])
@given(noise=st.binary(max_size=200))
def test_any_bytes_parse(body: bytes, noise: bytes) -> None:
    """Any bytes parse or are malformed."""
    with suppress(MalformedBody):
        assert isinstance(parse_body(body + noise), list)
