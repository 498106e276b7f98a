"""The folder of policies: the shipped ones, and everything wrong with a folder at once."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from anew.adapters.policy_folder import PolicyFolder, load_policies
from anew.core.policies.policy import AzureMLLauncher
from anew.core.policies.text import policy_schema, schema_text
from anew.core.rollouts.matching import matching_rules
from anew.errors import InvalidPolicy, UnknownModel

SHIPPED = Path(__file__).parents[2] / "policies"
POLICY = """\
apiVersion: anew/v1
model: MODEL
monitors: [MODEL-drift, shared]
when: {kind: monitor_breach}
retrain:
  launcher: {kind: aml, job: jobs/train.yml}
evaluate:
  job: jobs/evaluate.yml
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    for job in ("train", "evaluate"):
        (tmp_path / "jobs" / f"{job}.yml").write_text("type: command\n")
    return tmp_path


def write(folder: Path, name: str, model: str = "a", old: str = "", new: str = "") -> None:
    (folder / name).write_text(
        POLICY.replace("MODEL", model).replace(old, new) if old else POLICY.replace("MODEL", model)
    )


def problems(folder: Path) -> str:
    with pytest.raises(InvalidPolicy) as caught:
        load_policies(folder)
    return "\n".join(caught.value.problems)


# --- shipped ----------------------------------------------------------------------------------------------


def test_shipped_policies_load() -> None:
    """The shipped policies load, and each deploys what it registers."""
    policies = load_policies(SHIPPED)
    assert [policy.model for policy in policies.all] == ["elec2", "weather"]
    assert all(matching_rules(policy, policy.register_.tags) == policy.deploy[:1] for policy in policies.all)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the SDK's own dependencies, while it is imported
@pytest.mark.parametrize("job", sorted(SHIPPED.glob("jobs/*.yml")), ids=lambda job: job.name)
def test_shipped_jobs_are_valid(job: Path) -> None:
    """The shipped jobs load in the Azure SDK and use all their inputs."""
    from azure.ai.ml import load_job

    loaded: Any = load_job(job)
    assert loaded.type == "command"
    assert all(f"${{{{inputs.{name}}}}}" in loaded.command for name in loaded.inputs)


@pytest.mark.parametrize("policy", ["elec2.yaml", "weather.yaml"])
def test_shipped_policies_satisfy_schema(policy: str) -> None:
    """The shipped policies name the schema and satisfy it."""
    text = (SHIPPED / policy).read_text()
    assert text.startswith("# yaml-language-server: $schema=policy.schema.json\n")
    jsonschema.validate(yaml.safe_load(text), policy_schema())


def test_schema_file_is_current() -> None:
    """The schema file is current."""
    assert (SHIPPED / "policy.schema.json").read_text() == schema_text()


def test_schema_refuses_bad_policies() -> None:
    """The schema is valid and refuses what the parser refuses."""
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    document = yaml.safe_load((SHIPPED / "elec2.yaml").read_text())
    for change in (
        {"limits": {"cooldown": 24}},
        {"limits": {"cooldown": "P1M"}},
        {"extra": 1},
        {"when": {"kind": "x"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, **change}, schema)


# --- any folder -------------------------------------------------------------------------------------------


def test_policies_by_model_and_monitor(folder: Path) -> None:
    """Policies are found by model and by monitor, and their paths are absolute."""
    write(folder, "one.yaml", "a")
    write(folder, "two.yml", "b")
    (folder / "README.md").write_text("not a policy")
    policies = load_policies(folder)
    launcher = policies.for_model("b").retrain.launcher
    assert isinstance(launcher, AzureMLLauncher)
    assert launcher.job == str(folder / "jobs" / "train.yml")
    assert [policy.model for policy in policies.for_monitor(["A-Drift", "a-drift"])] == ["a"]
    assert [policy.model for policy in policies.for_monitor(["SHARED"])] == ["a", "b"]
    assert policies.for_monitor(["a-drif", "a-drift2", ""]) == []
    assert policies.source_of("a") == str(folder / "one.yaml")
    assert policies.hash_of("a") == hashlib.sha256((folder / "one.yaml").read_bytes()).hexdigest()


def test_unknown_model_names_known_ones(folder: Path) -> None:
    """An unknown model is an error that names the known models."""
    write(folder, "one.yaml", "a")
    with pytest.raises(UnknownModel, match="'zz'; models with a policy: a"):
        load_policies(folder).for_model("zz")


def test_problems_of_all_files(folder: Path) -> None:
    """The problems of all files are reported together."""
    write(folder, "one.yaml", "a", "monitor_breach", "monitor_breech")
    write(folder, "two.yaml", "b", "jobs/evaluate.yml", "jobs/nowhere.yml")
    (folder / "three.yaml").write_bytes(b"\xff\xfe\x00")
    said = problems(folder)
    assert f"{folder}/one.yaml:4: when.kind: 'monitor_breech' is not known" in said
    assert f"{folder}/two.yaml:8: evaluate.job: there is no file 'jobs/nowhere.yml'" in said
    assert f"{folder}/three.yaml:1: is not UTF-8" in said


def test_two_policies_for_one_model(folder: Path) -> None:
    """Two policies for one model are a problem that names both files."""
    write(folder, "one.yaml", "a")
    write(folder, "two.yaml", "a")
    said = problems(folder)
    assert "one.yaml" in said
    assert "two.yaml" in said


@pytest.mark.parametrize("job", ['"jobs\\0x"', "x" * 5000, "jobs", "/"])
def test_impossible_path_is_a_problem(folder: Path, job: str) -> None:
    """A path that is not a file is a problem and not a crash."""
    write(folder, "one.yaml", "a", "jobs/evaluate.yml", job)
    assert "one.yaml:8: evaluate.job: there is no file" in problems(folder)


def test_scoring_code_must_exist(folder: Path) -> None:
    """The folder of the scoring code and its script must exist, and the path becomes absolute."""
    write(folder, "one.yaml")
    rule = "deploy:\n  - {match: {a: b}, endpoint: abc, code: score, scoring_script: main.py}\n"
    (folder / "one.yaml").write_text((folder / "one.yaml").read_text() + rule)
    assert "one.yaml:10: deploy[0].code: there is no folder 'score'" in problems(folder)
    (folder / "score").mkdir()
    assert "one.yaml:10: deploy[0].scoring_script: there is no file 'score/main.py'" in problems(folder)
    (folder / "score" / "main.py").touch()
    assert load_policies(folder).for_model("a").deploy[0].code == str(folder / "score")


def test_folder_without_policies(tmp_path: Path) -> None:
    """A folder that is missing or has no policies is a problem."""
    assert "no policy" in problems(tmp_path)
    assert "no such folder" in problems(tmp_path / "nowhere")


def test_policies_reload_after_change(folder: Path) -> None:
    """Policies are read again when a file changed, and only then."""
    write(folder, "a.yaml")
    policies = PolicyFolder(folder)
    first = policies.current()
    assert policies.current() is first

    write(folder, "b.yaml", model="b")

    assert [policy.model for policy in policies.current().all] == ["a", "b"]


def test_removed_folder_is_an_error(folder: Path) -> None:
    """A removed folder is an error; the earlier policies are not used."""
    write(folder, "a.yaml")
    policies = PolicyFolder(folder)
    policies.current()

    folder.rename(folder.with_name("elsewhere"))

    for _ in range(2):
        with pytest.raises(InvalidPolicy, match="there is no such folder"):
            policies.current()
