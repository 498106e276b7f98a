"""Whatever stands in a policy file is a policy or a list of problems with their lines; and numbers that are none, of
whatever metric, never retrain a model.
"""

import copy
import json
import re
import time
from datetime import timedelta
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.adapters.policy_folder import load_policies
from anew.core.decisions.decide import compile_policy, decide
from anew.core.decisions.decision import Outcome
from anew.core.decisions.policy_set import Sourced
from anew.core.evidence.history import History
from anew.core.evidence.signals import Evidence, Signal
from anew.core.evidence.tree import Verdict
from anew.core.policies.text import read_defaults, read_policies
from anew.errors import InvalidPolicy
from tests.builders import policy
from tests.core.policies.samples import MINIMAL
from tests.core.rules.samples import COMPOSED, EVERY_SPECIMEN, GAINS, NOW, rule_of, verdict

_PROBLEM = re.compile(r"(?:p|default)\.yaml:[1-9]\d*: .+")
_SECONDS = 4.0  # of processor time, for the worst of all texts; most take milliseconds
RICH: dict[str, Any] = {
    "apiVersion": "anew/v1",
    "mode": "shadow",
    "evidence": {
        "sources": [
            {"kind": "log_analytics", "query": "AppMetrics", "window": "7d"},
            {"kind": "monitor_history"},
            {"kind": "drift", "reference": "a.csv", "window": "b.csv", "metrics": ["jensen_shannon_distance"]},
        ],
        "max_age": "14d",
        "min_rows": 10,
        "coalesce": "5m",
    },
    "block_when": {"kind": "monitor_failed"},
    "when": {"kind": "any", "rules": [*EVERY_SPECIMEN, *COMPOSED.values()]},
    "limits": {
        "cooldown": "24h",
        "backoff_after_rejection": 2.0,
        "max_retrainings": {"count": 3, "window": "30d"},
        "budget": {"unit": "EUR", "limit": 100, "window": "30d", "per_retraining": 12.5},
        "freeze": [
            {"kind": "dates", "from": "2026-12-24", "to": "2027-01-02T12:00", "timezone": "UTC", "reason": "holidays"},
            {
                "kind": "weekly",
                "days": ["fri"],
                "from": "18:00",
                "to": "06:00",
                "timezone": "Europe/Oslo",
                "reason": "x",
            },
        ],
        "max_concurrent": 2,
    },
    "retrain": {"launcher": {"kind": "aml", "job": "jobs/train.yml", "inputs": {"rows": 1}}, "cost": 0.1},
    "evaluate": {"job": "jobs/evaluate.yml"},
    "gate": {"kind": "non_inferiority", "margin": 0.01},
    "register": {"tags": {"stage": "production"}},
    "deploy": [{"match": {"stage": "production"}, "endpoint": "price-online", "steps": [{"traffic": 100}]}],
    "models": [{"model": "a", "monitors": ["m"]}, {"model": "b", "monitors": ["n"], "limits": {"cooldown": "1h"}}],
}


def problems(text: str, defaults: str | None = None) -> tuple[str, ...]:
    """The problems of a text, none when it is a policy; each names its file and line, and is soon found."""
    began = time.process_time()
    found: tuple[str, ...] = ()
    try:
        base = None if defaults is None else read_defaults(defaults, "default.yaml")
        for parsed in read_policies(text, "p.yaml", base):
            Sourced.of(parsed.policy, "p.yaml", "")  # what was accepted can also be compiled
    except InvalidPolicy as error:
        found = error.problems
        assert found
    assert [problem for problem in found if not _PROBLEM.fullmatch(problem)] == []
    assert time.process_time() - began < _SECONDS
    return found


def with_value(text: str) -> str:
    return MINIMAL.replace("0.76", text)


def with_rule(text: str) -> str:
    return MINIMAL.replace("{kind: threshold, metric: accuracy, below: 0.76}", text)


def numbered(count: int, line: str) -> str:
    return "\n".join(line.format(number) for number in range(count)) + "\n"


# --- a corpus ---------------------------------------------------------------------------------------------

_LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
_NESTED_NOT = "{kind: not, rule: " * 30 + "{kind: monitor_breach}" + "}" * 30
BAD: dict[str, str] = {
    "empty": "",
    "blank": " \n\n\t\n",
    "comment": "# a policy\n",
    "nothing": "null",
    "a number": "7",
    "a list": "[1, 2]",
    "a text": "policy",
    "a tab": "a:\n\t- b",
    "an open list": "a: [1, 2",
    "an open quote": "a: 'b",
    "bad indentation": "a: 1\n  b: 2",
    "json cut off": json.dumps(RICH)[:-9],
    "toml": "[model]\nname = 'a'\n",
    "html": "<html><body>404</body></html>",
    "a null byte": MINIMAL + "\x00",
    "an escape": MINIMAL + "\x1b[2J",
    "a lone surrogate": MINIMAL + "a: \udcff",
    "a merge conflict": "<<<<<<< ours\n" + MINIMAL + "=======\n" + MINIMAL + ">>>>>>> theirs\n",
    "two documents": MINIMAL + "---\n" + MINIMAL,
    "a byte order mark within": MINIMAL + "\ufeffmodel: b\n",
    "unknown key": MINIMAL + "extra: 1\n",
    "key twice": MINIMAL + "model: b\n",
    "key that is no text": MINIMAL + "1: 2\n",
    "key that is a list": MINIMAL + "? [a]\n: 2\n",
    "exploding aliases": _LAUGHS,
    "alias to itself": "a: &a [*a]",
    "merge key": MINIMAL + "<<: {a: 1}\n",
    "python object": "!!python/object/apply:os.system ['true']",
    "own tag": with_value("!mine 1"),
    "set": MINIMAL.replace("[elec2-drift]", "!!set {a, b}"),
    "not a number": with_value(".nan"),
    "infinity": with_value("-.inf"),
    "null": with_value("null"),
    "too large a number": with_value("1.0e+400"),
    "a number of many digits": with_value("9" * 10_000),
    "a hexadecimal number": with_value("0x" + "f" * 10_000),
    "a binary number": with_value("0b" + "1" * 100_000),
    "an octal number": with_value("0" + "7" * 10_000),
    "a number by sixties": with_value("1" + ":59" * 100_000),
    "a fraction by sixties": with_value("1" + ":59" * 400 + ".5"),
    "a whole number beyond floats": with_value("1" * 400),
    "a number that is a key": MINIMAL + "1" * 5000 + ": 1\n",
    "10 MB of text": MINIMAL + "# " + "x" * 10_000_000,
    "10 MB in one value": MINIMAL + "a: '" + "x" * 10_000_000 + "'",
    "a key of a megabyte": "k" * 900_000 + ": 1",
    "many values": "a: [" + "1," * 400_000 + "]",
    "many unknown keys": MINIMAL + numbered(10_000, "k{}: 1"),
    "many nearly known keys": MINIMAL + numbered(8000, "limits{}: 1"),
    "many wrong items": MINIMAL.replace("[elec2-drift]", "[" + "1," * 10_000 + "]"),
    "many models that share much": MINIMAL + numbered(5000, "k{}: 1") + "models:\n" + numbered(4000, " - {{model: m}}"),
    "many wrong models": MINIMAL + "models:\n" + numbered(1500, " - {{mode: m{}}}"),
    "deep lists": "[" * 100_000,
    "deep mappings": "{a: " * 50_000,
    "deep blocks": "\n".join(" " * depth + "a:" for depth in range(900)),
    "deep rules": with_rule("{kind: not, rule: " * 100 + "{}" + "}" * 100),
    "deep but wrong rules": with_rule(_NESTED_NOT.replace("monitor_breach", "breach")),
    "deep expression": with_rule("{kind: cel, expr: '" + "(" * 900 + "true" + ")" * 900 + "'}"),
    "long expression": with_rule("{kind: cel, expr: '" + "true || " * 9000 + "true'}"),
    "rule that is null": with_rule("null"),
    "rule without kind": with_rule("{metric: psi, above: 1}"),
    "rule of no kind": with_rule("{kind: null}"),
    "rule whose kind is a number": with_rule("{kind: 1}"),
    "rule whose kind is a list": with_rule("{kind: [all]}"),
    "rule whose kind is a mapping": with_rule("{kind: {all: 1}}"),
    "rules that are a mapping": with_rule("{kind: all, rules: {kind: all}}"),
    "models within models": MINIMAL + "models: [{model: a, models: [{model: b}]}]\n",
    "model of a null name": MINIMAL.replace("elec2\n", "null\n", 1),
    "model with a path in its name": MINIMAL.replace("elec2\n", "../../etc\n", 1),
    "version that is a number": MINIMAL.replace("anew/v1", "1"),
    "monitors that are a text": MINIMAL.replace("[elec2-drift]", "elec2-drift"),
    "cooldown beyond the calendar": MINIMAL.replace("PT1H", "P99999999D"),
    "cooldown of a number by sixties": MINIMAL.replace("PT1H", "24:00"),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad_policy_is_refused_quickly(text: str) -> None:
    """A bad policy is refused quickly, with the line of every problem."""
    assert problems(text)
    assert problems(text, MINIMAL.replace("model: elec2\nmonitors: [elec2-drift]\n", ""))


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL,
        json.dumps(RICH),
        json.dumps(RICH, indent=1),
        with_rule(_NESTED_NOT),
        MINIMAL.replace("\n", "\r\n"),
        MINIMAL + "models:\n" + numbered(2000, " - {{model: m{}}}"),
    ],
    ids=["minimal", "rich", "rich in lines", "nested", "of windows", "of many models"],
)
def test_good_policies_have_no_problems(text: str) -> None:
    """A good policy has no problems."""
    assert problems(text) == ()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "p.yaml:1: is not UTF-8 text"),
        (MINIMAL.encode() + b"a: \xff", "p.yaml:16: is not UTF-8 text"),
        (MINIMAL.encode("utf-16"), "p.yaml:1: is not UTF-8 text"),
        (MINIMAL.encode("utf-16-be"), "p.yaml:1: "),
        (b"\x00" * 1000, "p.yaml:1: "),
        (b"\x1f\x8b\x08\x00", "p.yaml:1: is not UTF-8 text"),
    ],
)
def test_binary_file_is_refused(tmp_path: Path, raw: bytes, expected: str) -> None:
    """A binary file is refused with its line."""
    (tmp_path / "p.yaml").write_bytes(raw)
    with pytest.raises(InvalidPolicy) as caught:
        load_policies(tmp_path)
    assert caught.value.problems[0].startswith(f"{tmp_path}/{expected}")


def test_leading_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark at the start of the file is accepted."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "evaluate.yml").touch()
    (tmp_path / "p.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert [each.model for each in load_policies(tmp_path).all] == ["elec2"]


# --- mutations --------------------------------------------------------------------------------------------


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


_PLACES = [place for place in places(RICH) if place]
_SCRAPS = [reduce(getitem, place, RICH) for place in _PLACES]
_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([10**30, -(10**300), "", "nan", "24:00", "2026-02-30", "\x7f", [], {}, {"kind": "x"}, [[]], "P1D"]),
    st.text(max_size=10),
    st.sampled_from(_SCRAPS),
)


def mutated(place: tuple[Any, ...], change: str, value: Any) -> str:
    data = copy.deepcopy(RICH)
    parent: Any = data
    for key in place[:-1]:
        parent = parent[key]
    match change:
        case "replace":
            parent[place[-1]] = copy.deepcopy(value)
        case "remove":
            del parent[place[-1]]
        case "rename" if isinstance(parent, dict):
            mapping = cast("dict[str, Any]", parent)
            mapping[str(value)[:20]] = mapping.pop(place[-1])
        case _:
            parent[place[-1]] = [parent[place[-1]], copy.deepcopy(value)]
    return json.dumps(data)


_MUTANTS = st.builds(
    mutated, st.sampled_from(_PLACES), st.sampled_from(["replace", "remove", "rename", "repeat"]), _JUNK
)


@given(_MUTANTS)
def test_changed_value_is_handled(text: str) -> None:
    """Any change of a value leaves a policy or clear problems."""
    problems(text)


@given(_MUTANTS, st.sampled_from(_PLACES))
def test_changed_defaults_are_handled(defaults: str, place: tuple[Any, ...]) -> None:
    """Any change of the defaults leaves policies or clear problems."""
    data = json.loads(defaults)
    base = {key: data[key] for key in data if key not in ("model", "monitors", "models")}
    own = {"models": RICH["models"], place[0]: RICH[place[0]]}
    problems(json.dumps(own), json.dumps(base))


_LINES = json.dumps(RICH, indent=1).splitlines()
_INSERTED = st.text(alphabet=st.sampled_from(list("{}[]:,&*!|>'\"#-? \n\t01.eE~<%@`\\é\x00\u2028")), max_size=12)


@given(st.integers(0, len(_LINES)), st.integers(0, 3), st.lists(st.sampled_from(_LINES) | _INSERTED, max_size=3))
def test_moved_lines_are_handled(at: int, lost: int, added: list[str]) -> None:
    """Lost and moved lines leave a policy or clear problems."""
    problems("\n".join([*_LINES[:at], *added, *_LINES[at + lost :]]))


@given(st.integers(0, len(MINIMAL)), st.integers(0, 12), _INSERTED)
def test_typed_characters_are_handled(at: int, lost: int, typed: str) -> None:
    """Lost and typed characters leave a policy or clear problems."""
    problems(MINIMAL[:at] + typed + MINIMAL[at + lost :])


# --- numbers that are none --------------------------------------------------------------------------------

_NONE = st.sampled_from([None, float("nan"), float("inf"), float("-inf")])
_NOTHING = st.lists(
    st.builds(
        Signal,
        st.sampled_from(["psi", "accuracy", *GAINS, "breach", "drift_coefficient"]),
        _NONE,
        st.sampled_from(["event", "drift", "log_analytics"]),
        st.integers(0, 5).map(lambda hours: NOW - timedelta(hours=hours)),
        st.sampled_from([None, "a", "b"]),
        _NONE | st.floats(0, 1),
        st.sampled_from([None, "m"]),
        st.none() | st.integers(0, 1000),
        _NONE | st.floats(0, 1),
        _NONE | st.floats(0, 1),
    ),
    max_size=8,
).map(tuple)
_RULES = [*EVERY_SPECIMEN, *COMPOSED.values()]
_KNOWS_ALWAYS = {"kind": "monitor_failed"}  # that no monitor failed is known when nothing came
_NAMES = [f"{document['kind']}-{index}" for index, document in enumerate(_RULES)]


@pytest.mark.parametrize("document", _RULES, ids=_NAMES)
def test_no_signals_never_fire(document: dict[str, Any]) -> None:
    """Without signals neither a rule nor its opposite fires, except on monitors that failed."""
    rule, opposite = rule_of(document), rule_of({"kind": "not", "rule": document})
    assert verdict(rule, []) is (Verdict.NO if document == _KNOWS_ALWAYS else Verdict.UNKNOWN)
    assert (verdict(opposite, []) is Verdict.YES) == (document == _KNOWS_ALWAYS)


@given(st.sampled_from(_RULES), st.booleans(), _NOTHING)
def test_non_finite_metrics_never_retrain(
    document: dict[str, Any], opposite: bool, signals: tuple[Signal, ...]
) -> None:
    """Metrics that are not finite never retrain."""
    if document == _KNOWS_ALWAYS:
        return
    when = {"kind": "not", "rule": document} if opposite else document
    outcome = decide(compile_policy(policy(when=when)), Evidence(signals), History(), NOW).outcome
    assert outcome in (Outcome.INSUFFICIENT, Outcome.ERROR)


@given(st.sampled_from(_RULES), _NOTHING)
def test_non_finite_metrics_never_block(document: dict[str, Any], signals: tuple[Signal, ...]) -> None:
    """Metrics that are not finite never block."""
    fires = Signal("log_loss", 1.0, "log_analytics", NOW)
    over = {"kind": "threshold", "metric": "log_loss", "above": 0.5}
    compiled = compile_policy(policy(when=over, block_when=document))
    outcome = decide(compiled, Evidence((*signals, fires)), History(), NOW).outcome
    assert outcome in (Outcome.RETRAIN, Outcome.ERROR)  # error: the block itself could not be evaluated
