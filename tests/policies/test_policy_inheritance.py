"""Policies that share: defaults that lie under all of a folder, and many models in one file."""

from datetime import timedelta
from pathlib import Path

import pytest

from anew.adapters.policy_folder import load_policies
from anew.core.policies.policy import Policy
from anew.core.policies.text import read_defaults, read_policies
from anew.core.rules.threshold import Threshold
from anew.errors import InvalidPolicy
from tests.core.policies.samples import MINIMAL


def policies(text: str, defaults: str | None = None) -> list[Policy]:
    base = None if defaults is None else read_defaults(defaults, "default.yaml")
    return [each.policy for each in read_policies(text, "p.yaml", base)]


def problems(text: str, defaults: str | None = None) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        policies(text, defaults)
    return caught.value.problems


# --- what lies under a policy -----------------------------------------------------------------------------

_DEFAULTS = """\
apiVersion: anew/v1
limits:
  cooldown: 48h
  max_concurrent: 2
when: {kind: threshold, metric: drift_coefficient, above: 0.3}
retrain:
  launcher: {kind: adf, pipeline: shared}
evaluate: {job: e.yml}
"""
_OWN = "model: elec2\nmonitors: [m]\n"


def test_policy_inherits_defaults() -> None:
    """A policy inherits what it does not set."""
    [policy] = policies(_OWN + "limits: {cooldown: 1h}\nwhen: {above: 0.5}\n", _DEFAULTS)
    assert (policy.limits.cooldown, policy.limits.max_concurrent) == (timedelta(hours=1), 2)
    assert policy.when == Threshold(kind="threshold", metric="drift_coefficient", above=0.5)


def test_other_kind_replaces_rule() -> None:
    """A rule or launcher of another kind replaces the inherited one."""
    [policy] = policies(_OWN + "when: {kind: monitor_breach}\nretrain: {launcher: {kind: aml, job: j.yml}}", _DEFAULTS)
    assert (policy.when.kind, policy.retrain.launcher.kind) == ("monitor_breach", "aml")


def test_null_removes_inherited_value() -> None:
    """A null removes an inherited value."""
    [policy] = policies(_OWN + "limits: {max_concurrent: null}\n", _DEFAULTS)
    assert (policy.limits.max_concurrent, policy.limits.cooldown) == (None, timedelta(hours=48))


def test_inherited_mistake_names_its_file() -> None:
    """An inherited mistake is named in the file of the defaults."""
    wrong = _DEFAULTS.replace("max_concurrent: 2", "max_concurent: 2").replace("48h", "48")
    assert problems(_OWN, wrong) == (
        "default.yaml:3: limits.cooldown: must be a duration with its unit, such as 90s, 30m, 24h, 7d, PT1H or P30D",
        (
            "default.yaml:4: limits.max_concurent: 'max_concurent' is not known; allowed: cooldown, "
            "backoff_after_rejection, max_retrainings, budget, freeze, in_flight, prefer_rollback, max_concurrent; "
            "did you mean 'max_concurrent'?"
        ),
    )
    assert policies(_OWN + "limits: {cooldown: 1h}", wrong.replace("  max_concurent: 2\n", ""))


def test_combined_mistake_names_policy() -> None:
    """A mistake of defaults and policy together is named in the policy."""
    said = problems(_OWN + "when: {below: 0.1}", _DEFAULTS)
    assert said == ("p.yaml:3: when: give exactly one of 'above', 'below' and 'worse_than'",)


def test_missing_key_names_policy() -> None:
    """A required key that neither sets is reported for the policy."""
    assert problems("model: elec2\n", _DEFAULTS) == ("p.yaml:1: monitors: is required",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: elec2", "default.yaml:1: model: is for one model; defaults are for all"),
        ("\nmodels: [{model: a}]", "default.yaml:2: models: is for one model; defaults are for all"),
        ("monitors: [a]", "default.yaml:1: monitors: is for one model; defaults are for all"),
        ("[1]", "default.yaml:1: must be a mapping"),
        ("", "default.yaml:1: the file is empty"),
        ("a: *b", "default.yaml:1: alias '*b'"),
        ("a: 1\na: 2", "default.yaml:2: a: given twice, first on line 1"),
    ],
)
def test_invalid_defaults_are_refused(text: str, expected: str) -> None:
    """Defaults that cannot apply to all policies are refused."""
    with pytest.raises(InvalidPolicy) as caught:
        read_defaults(text, "default.yaml")
    assert caught.value.problems[0].startswith(expected)


# --- many models in one file ------------------------------------------------------------------------------

_SHARED = "apiVersion: anew/v1\nwhen: {kind: monitor_breach}\nlimits: {cooldown: 48h}\n"
_MANY = (
    _SHARED
    + """\
retrain: {launcher: {kind: adf, pipeline: p}}
evaluate: {job: e.yml}
models:
  - {model: a, monitors: [a-drift]}
  - model: b
    monitors: [b-drift]
    mode: shadow
    limits: {cooldown: 1h}
  - {model: c, monitors: [c-drift], when: {kind: monitor_failed}}
"""
)


def test_models_share_a_file() -> None:
    """Each model of a file gets the shared values and its own."""
    a, b, c = policies(_MANY)
    assert [each.model for each in (a, b, c)] == ["a", "b", "c"]
    assert [each.mode for each in (a, b, c)] == ["active", "shadow", "active"]
    assert [each.limits.cooldown.days for each in (a, b, c)] == [2, 0, 2]
    assert [each.when.kind for each in (a, b, c)] == ["monitor_breach", "monitor_breach", "monitor_failed"]


def test_three_layers_apply_in_order() -> None:
    """The values of a model override those shared in its file, which override the defaults."""
    [policy] = policies(
        "limits: {max_concurrent: 3}\nmodels: [{model: a, monitors: [m], limits: {cooldown: 1h}}]", _DEFAULTS
    )
    assert (policy.limits.cooldown, policy.limits.max_concurrent) == (timedelta(hours=1), 3)


def test_mistake_is_reported_once() -> None:
    """A mistake of one model is named at its place, and a shared one only once."""
    own = _MANY.replace("cooldown: 1h", "cooldown: 1")
    assert [each.split(": must")[0] for each in problems(own)] == ["p.yaml:11: models[1].limits.cooldown"]
    shared = _MANY.replace("cooldown: 48h", "cooldwn: 48h")
    assert [each.split(": ")[:2] for each in problems(shared)] == [["p.yaml:3", "limits.cooldwn"]]


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("[]", "p.yaml:4: models: must be a list of at least one model, not []"),
        ("{a: {}}", "p.yaml:4: models: must be a list of at least one model, not a mapping"),
        ("null", "p.yaml:4: models: must be a list of at least one model, not nothing"),
        ("[1]", "p.yaml:4: models[0]: must be a mapping, not 1"),
        ("[{model: a, models: []}]", "p.yaml:4: models[0].models: 'models' is not known"),
        ("[{monitors: [m]}]", "p.yaml:4: models[0].model: is required"),
    ],
)
def test_models_must_be_a_list(models: str, expected: str) -> None:
    """`models` must be a list of policies."""
    assert any(problem.startswith(expected) for problem in problems(f"{_SHARED}models: {models}\n"))


# --- a folder ---------------------------------------------------------------------------------------------


def folder_problems(folder: Path, **files: str) -> tuple[str, ...]:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    with pytest.raises(InvalidPolicy) as caught:
        load_policies(folder)
    return caught.value.problems


def test_default_mistake_is_reported_once(tmp_path: Path) -> None:
    """A mistake in the defaults of a folder is reported once, with its line."""
    wrong = _DEFAULTS.replace("above: 0.3", "abov: 0.3")
    said = folder_problems(tmp_path, default=wrong, a=_OWN, b=_OWN.replace("elec2", "b"))
    assert len({each for each in said if "abov" in each}) == len([each for each in said if "abov" in each]) == 1
    assert said[0].startswith(f"{tmp_path}/default.yaml:5: when")


def test_duplicate_model_names_its_line(tmp_path: Path) -> None:
    """A second policy for a model is reported with its line."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "evaluate.yml").touch()
    shared = _MANY.replace("e.yml", "jobs/evaluate.yml").replace("model: c", "model: a")
    said = folder_problems(tmp_path, a=shared, b=MINIMAL.replace("model: elec2", "model: b"))
    assert said == (
        f"{tmp_path}/a.yaml:12: models[2].model: 'a' already has a policy in {tmp_path}/a.yaml",
        f"{tmp_path}/b.yaml:2: model: 'b' already has a policy in {tmp_path}/a.yaml",
    )


def test_hash_includes_the_defaults(tmp_path: Path) -> None:
    """The hash of a policy includes the defaults."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "e.yml").touch()
    text = _DEFAULTS.replace("e.yml", "jobs/e.yml")
    (tmp_path / "a.yaml").write_text(_OWN)
    hashes: set[str] = set()
    for defaults in (text, text.replace("48h", "49h")):
        (tmp_path / "default.yaml").write_text(defaults)
        hashes.add(load_policies(tmp_path).hash_of("elec2"))
    assert len(hashes) == 2
