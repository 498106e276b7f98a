"""Whatever is sent: an answer, never a 500, and what it says of the ledger is so."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anew.adapters.ledger import SqlLedger
from tests.event_data import DATA, load
from tests.webhook.in_process import InProcess, in_process
from tests.webhook.serving import SECRET, URL

EXAMPLES = [path.name for path in sorted(DATA.glob("*.json"))]
SETTINGS = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "aeg-event-type": HEADER | st.sampled_from(["Notification", "SubscriptionValidation", "SubscriptionDeletion"]),
        "aeg-subscription-name": HEADER | st.just("ANEW"),
        "content-type": HEADER,
        "content-length": HEADER | st.just("-1"),
        "authorization": HEADER | st.just("Bearer x"),
        "x-anew-secret": HEADER,
        "webhook-request-origin": HEADER,
    },
)


@dataclass(frozen=True)
class World:
    webhook: InProcess
    ledger: SqlLedger

    def counts(self) -> tuple[int, int, int]:
        """Deliveries in the inbox, ignored events, deliveries of dead letters."""
        return (
            sum(entry.deliveries for entry in self.ledger.entries(10**6)),
            sum(count.count for count in self.ledger.ignored_counts()),
            sum(letter.deliveries for letter in self.ledger.dead_letters(10**6)),
        )


@pytest.fixture(scope="module")
def world() -> Generator[World]:
    ledger = SqlLedger.in_memory()
    with in_process(ledger) as webhook:
        yield World(webhook, ledger)


def check(world: World, method: str, url: str, **terms: Any) -> httpx.Response:
    before = world.counts()
    answer = world.webhook.request(method, url, **terms)
    gained = tuple(now - then for now, then in zip(world.counts(), before, strict=True))
    said = answer.json() if answer.content and "json" in answer.headers.get("content-type", "") else {}
    assert answer.status_code in {200, 400, 401, 403, 404, 405, 413}
    if "stored" in said:
        assert gained == (said["stored"], said["ignored"], said["rejected"])
        assert (answer.status_code == 400) == (gained[:2] == (0, 0) and gained[2] > 0)
    else:
        assert gained == (0, 0, 0)
    return answer


@SETTINGS
@given(data=st.data(), name=st.sampled_from(EXAMPLES), headers=HEADERS)
def test_changed_payload_is_counted_correctly(
    world: World, data: st.DataObject, name: str, headers: dict[str, str]
) -> None:
    """The answer to a changed payload states exactly what the ledger has stored."""
    raw = load(name)
    elements = raw if isinstance(raw, list) else [raw]
    for _ in range(data.draw(st.integers(0, 3))):
        places: list[Any] = [*elements, *(element["data"] for element in elements if isinstance(element["data"], dict))]
        place = data.draw(st.sampled_from(places))
        name = data.draw(st.sampled_from(sorted(place)) | st.text(max_size=10)) if place else "x"
        place[name] = data.draw(JSON)
        if not isinstance(elements[0].get("data"), dict):
            break
    batch = elements * data.draw(st.integers(1, 3)) + data.draw(st.lists(JSON, max_size=2))

    check(world, "POST", URL, content=json.dumps(data.draw(st.sampled_from([raw, batch]))), headers=headers)


@SETTINGS
@given(body=st.binary(max_size=300), headers=HEADERS, method=st.sampled_from(["POST", "OPTIONS", "GET", "PUT", "X"]))
def test_arbitrary_bytes_are_answered(world: World, body: bytes, headers: dict[str, str], method: str) -> None:
    """Arbitrary bytes get a documented answer."""
    check(world, method, URL, content=body, headers=headers)


@SETTINGS
@given(
    body=st.sampled_from(EXAMPLES).map(lambda name: (DATA / name).read_bytes()),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    noise=st.binary(max_size=8),
)
def test_corrupted_payload_is_answered(world: World, body: bytes, cut: tuple[float, float], noise: bytes) -> None:
    """A real payload with corrupted bytes gets a documented answer."""
    begin, end = sorted(int(share * len(body)) for share in cut)

    check(world, "POST", URL, content=body[:begin] + noise + body[end:])


@SETTINGS
@given(
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#%\\")).map("/".__add__),
    headers=HEADERS,
)
def test_unauthenticated_request_stores_nothing(world: World, path: str, headers: dict[str, str]) -> None:
    """A request to any path with a wrong secret stores nothing, and no answer shows the secret."""
    headers = headers | {"x-anew-secret": "wrong"}
    body = (DATA / "drift.cloud.json").read_bytes()

    answer = check(world, "POST", path, content=body, headers=headers)

    assert answer.status_code in {401, 404, 413}
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([load("drift.cloud.json")] * 5001),
        '{"a":' * 900 + "1" + "}" * 900,
        '[{"id": ' + "[" * 900 + "]" * 900 + "}]",
        '[{"id": ' + "[" * 5000 + "]" * 5000 + "}]",
        json.dumps(load("drift.cloud.json")).replace("0.83", "9" * 400 + "."),
        json.dumps(load("model-deployed.cloud.json")).replace("sklearn_regression_model:1", "m" * 1400 + ":1"),
        "\ufeff" + json.dumps(load("drift.cloud.json")),
        "[" + ",".join(["{}"] * 5000) + "]",
    ],
    ids=[
        "too many",
        "deep object",
        "deep field",
        "too deep",
        "huge number",
        "long list",
        "byte order mark",
        "5000 bad",
    ],
)
def test_extreme_body_is_answered(world: World, body: str) -> None:
    """An extreme body gets a documented answer."""
    check(world, "POST", URL, content=body.encode())
