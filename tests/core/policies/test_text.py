"""Policy texts: what is accepted, and how every mistake is named with its line."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.base.document import parse_duration
from anew.core.policies.policy import DataFactoryLauncher, Policy
from anew.core.policies.text import parse_policy
from anew.errors import InvalidPolicy
from tests.core.policies.samples import MINIMAL, sample
from tests.core.rules.samples import KINDS

_PROBLEM = re.compile(r"p\.yaml:[1-9]\d*: .+")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(text, "p.yaml")
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert old in MINIMAL
    return MINIMAL.replace(old, new)


def test_minimal_policy_gets_defaults() -> None:
    """A minimal policy gets the documented defaults."""
    policy = sample()
    assert policy.limits.cooldown == timedelta(hours=1)
    assert policy.evidence.max_age == timedelta(days=30)
    assert policy.gate.margin == 0.01
    assert [step.traffic for step in policy.deploy[0].steps] == [None, 5, 20, 50, 100]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "kind: threshold, metric: acc",
            "kind: treshold, metric: acc",
            (
                "p.yaml:8: when.rules[1].kind: 'treshold' is not known; "
                f"allowed: {', '.join(KINDS)}; did you mean 'threshold'?"
            ),
        ),
        (
            "cooldown: PT1H",
            "cooldwn: PT1H",
            (
                "p.yaml:9: limits.cooldwn: 'cooldwn' is not known; allowed: cooldown, backoff_after_rejection, "
                "max_retrainings, budget, freeze, in_flight, prefer_rollback, max_concurrent; did you mean 'cooldown'?"
            ),
        ),
        (
            "above: 0.3",
            "abov: 0.3",
            (
                "p.yaml:7: when.rules[0].abov: 'abov' is not known; "
                "allowed: kind, metric, above, below, worse_than, feature, over, clears_at; did you mean 'above'?"
            ),
        ),
        ("above: 0.3", "above: .nan", "p.yaml:7: when.rules[0].above: must be a finite number, not .nan"),
        ("above: 0.3", "above: 1e999", "p.yaml:7: when.rules[0].above: must be a valid number, not '1e999'"),
        ("above: 0.3", "above: 1.0e+999", "p.yaml:7: when.rules[0].above: must be a finite number, not 1.0e+999"),
        ("above: 0.3", 'above: "0.3"', "p.yaml:7: when.rules[0].above: must be a valid number, not '0.3'"),
        (
            "above: 0.3",
            "above: 0.3, below: 0.1",
            "p.yaml:7: when.rules[0]: give exactly one of 'above', 'below' and 'worse_than'",
        ),
        ("above: 0.3", "below: 0.3, below: 0.4", "p.yaml:7: when.rules[0].below: given twice, first on line 7"),
        (
            "cooldown: PT1H",
            "cooldown: 24",
            "p.yaml:9: limits.cooldown: must be a duration with its unit, such as 90s, 30m, 24h, 7d, PT1H or P30D",
        ),
        (
            "pipeline: elec2-retrain",
            "pipeline: p, parameters: {rows: [1]}",
            "p.yaml:11: retrain.launcher.parameters.rows: must be text, a number, true or false, not [1]",
        ),
        ("anew/v1", "anew/v2", "p.yaml:1: apiVersion: 'anew/v2' is not known; allowed: anew/v1"),
        ("apiVersion", "api_version", "p.yaml:1: apiVersion: is required"),
        ("model: elec2\n", "", "p.yaml:1: model: is required"),
        (
            "  kind: all\n",
            "",
            f"p.yaml:4: when.kind: is required; allowed: {', '.join(KINDS)}",
        ),
        ("{stage: staging}", "{1: staging}", "p.yaml:15: deploy[1].match: the key '1' is not text; put it in quotes"),
        ("{stage: staging}", "{stage: on}", "p.yaml:15: deploy[1].match.stage: must be text, not True"),
        (
            "endpoint: elec2-online",
            "endpoint: elec2-online, steps: [{traffic: 10}]",
            "p.yaml:14: deploy[0]: 'steps' must mirror first, if at all, then rise and end at traffic: 100",
        ),
        (
            "limits:",
            "register: {tags: {anew_x: a}}\nlimits:",
            "p.yaml:9: register.tags: 'anew_x': names starting with 'anew_' are anew's own",
        ),
    ],
)
def test_mistake_is_named_with_line(old: str, new: str, expected: str) -> None:
    """A mistake is named with its line and path, the wrong value and what is allowed."""
    assert expected in problems(changed(old, new))


def test_all_mistakes_at_once() -> None:
    """All mistakes of a file are found at once, in line order."""
    text = MINIMAL.replace("anew/v1", "anew/v9").replace("above: 0.3", "above: .inf").replace("cooldown", "cool")
    assert [problem.split(": ")[0] for problem in problems(text)] == ["p.yaml:1", "p.yaml:7", "p.yaml:9"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model: elec2", "model: .nan"),
        ("accuracy, below: 0.76", "accuracy, 1: 0.76"),
        ("{stage: staging}", "{1: staging}"),
        ("limits: {cooldown: PT1H}", "limits: {cooldown: 7d, cooldown: 24}"),
    ],
)
def test_one_mistake_is_one_problem(old: str, new: str) -> None:
    """A value that YAML already refused is not refused again for being absent."""
    assert len(problems(changed(old, new))) == 1
    assert len(problems(changed(old, new) + "models: [{mode: shadow}]\n")) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{kind: threshold, metric: accuracy, below: 0.76}",
            "{kind: cel, expr: 'true', variables: {x: {metric: psi, aggregat: max}}}",
            (
                "p.yaml:8: when.rules[1].variables.x.aggregat: 'aggregat' is not known; "
                "allowed: metric, feature, aggregate; did you mean 'aggregate'?"
            ),
        ),
        (
            "{stage: staging}",
            "{stage: {prefx: s}}",
            (
                "p.yaml:15: deploy[1].match.stage.prefx: 'prefx' is not known; "
                "allowed: in, prefix, regex; did you mean 'prefix'?"
            ),
        ),
    ],
)
def test_unknown_key_below_own_keys(old: str, new: str, expected: str) -> None:
    """Below keys of the user's own choice, the allowed keys are known too."""
    assert expected in problems(changed(old, new))


def test_nested_rules_keep_their_path() -> None:
    """A mistake in a nested rule keeps its path."""
    text = changed("{kind: threshold, metric: accuracy, below: 0.76}", "{kind: not, rule: {kind: any, rules: [7]}}")
    assert problems(text) == ("p.yaml:8: when.rules[1].rule.rules[0]: must be a mapping, not 7",)


def test_key_named_like_rule_kind() -> None:
    """A key with the name of a rule kind keeps its path."""
    text = changed("  kind: all\n", "  kind: all\n  all: [1]\n")
    assert problems(text) == ("p.yaml:6: when.all: 'all' is not known; allowed: kind, rules",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("a: [", "not valid YAML"),
        ("--- {}\n--- {}", "p.yaml:2: a second document starts here"),
        ("a: &x [1]\nb: *x", "p.yaml:2: alias '*x'"),
        ("<<: {a: 1}", "merge keys"),
        ("a: !!python/object/apply:os.system [ls]", "YAML tags such as '!!python/object/apply:os.system'"),
        ("a: !!int abc", "YAML tags"),
        ("? [1]\n: 2", "a key must be text"),
        ("[" * 5000, "nested deeper than"),
        ("[" + "1," * 60_000 + "]", "more than"),
        ("a: " + "9" * 5000, "is not a number"),
        ("a: \ud800", "not valid Unicode"),
        ("a: \x00", "not valid YAML"),
        ("- 1", "must be a mapping"),
        ("x" * 1_000_001, "longer than"),
    ],
)
def test_other_text_is_refused(text: str, expected: str) -> None:
    """Text that cannot be a policy is refused with the reason."""
    assert any(expected in problem for problem in problems(text))


_LINES = st.lists(st.sampled_from([*MINIMAL.splitlines(), "- &a [*a]", "kind: any", "? {}", "rules: !!set {}"]))
_WORDS = st.text(alphabet=st.sampled_from(list("{}[]:,&*!|>'\"#-? \n\tab01.")), max_size=60)


def _worded_or_parsed(text: str) -> bool:
    try:
        parse_policy(text, "p.yaml")
    except InvalidPolicy as error:
        return bool(error.problems) and all(_PROBLEM.fullmatch(problem) for problem in error.problems)
    return True


@given(st.one_of(st.text(), _WORDS, _LINES.map("\n".join), st.tuples(st.just(MINIMAL), _WORDS).map("".join)))
def test_any_text_is_handled(text: str) -> None:
    """Any text is a policy or a list of clear problems."""
    assert _worded_or_parsed(text)


@given(st.integers(0, len(MINIMAL)), st.integers(0, 40), _WORDS)
def test_any_damage_is_handled(start: int, length: int, inserted: str) -> None:
    """A damaged policy is still a policy or a list of clear problems."""
    assert _worded_or_parsed(MINIMAL[:start] + inserted + MINIMAL[start + length :])


def test_parameters_keep_their_type() -> None:
    """Parameters keep the type in which they were written."""
    policy = sample(changed("pipeline: elec2-retrain", "pipeline: p, parameters: {a: 1, b: 1.5, c: true, d: '1'}"))
    assert isinstance(policy.retrain.launcher, DataFactoryLauncher)
    assert [(type(v), v) for v in policy.retrain.launcher.parameters.values()] == [
        (int, 1),
        (float, 1.5),
        (bool, True),
        (str, "1"),
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("2w", 1209600), ("PT1H", 3600), ("P1DT12H", 129600)],
)
def test_durations_have_two_forms(text: str, seconds: int) -> None:
    """Durations are read in both forms, such as `90s` and `PT1H`."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "1", "1 h", "-1h", "P1M", "P1Y", "1.5h", "99999999w", "P3651D", 60, 1.5]
)
def test_invalid_duration_is_refused(text: object) -> None:
    """A value that is not a duration is refused."""
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@given(st.timedeltas(timedelta(0), timedelta(days=3650)))
def test_policy_survives_json(cooldown: timedelta) -> None:
    """A policy survives its own JSON."""
    policy = sample()
    varied = policy.model_copy(update={"limits": policy.limits.model_copy(update={"cooldown": cooldown})})
    assert Policy.model_validate_json(varied.model_dump_json(by_alias=True)) == varied
