"""The policy language: what one YAML document may say, as strict pydantic values.

A policy names a model, what counts as evidence of drift, when that evidence is reason enough to retrain, how
to train, what the new model must prove, and where its tags deploy it.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from anew.core.policy_evidence import EvidenceRules
from anew.core.policy_limits import Limits
from anew.core.policy_rules import Rule
from anew.core.policy_types import Document, Duration, Name, Scalar, Text

LINEAGE_PREFIX = "anew_"

TagMap = dict[str, str]


# --- launchers --------------------------------------------------------------------------------------------


class DataFactoryLauncher(Document):
    """Train by an Azure Data Factory pipeline. It must declare the string parameters `anew_retraining_id` and
    `anew_job_name`, and give its Azure ML job that name.
    """

    kind: Literal["adf"]
    pipeline: Text
    factory: str | None = Field(default=None, description="Default: the factory in the settings.")
    parameters: dict[str, Scalar] = Field(default={})


class AzureMLLauncher(Document):
    """Train by an Azure ML job: the same YAML `az ml job create` takes, its path relative to the policy file."""

    kind: Literal["aml"]
    job: Text
    inputs: dict[str, Scalar] = Field(default={})


Launcher = Annotated[DataFactoryLauncher | AzureMLLauncher, Field(discriminator="kind")]


class Retrain(Document):
    """How to make a candidate."""

    launcher: Launcher
    timeout: Duration = Field(default=timedelta(hours=12), description="A training that takes longer has failed.")
    cost: float = Field(
        default=0.1,
        gt=0,
        allow_inf_nan=False,
        description="What one retraining costs, in accuracy x readings: 0.1 is worth ten points in one batch.",
    )
    output: str = Field(default="model", description="The output of the training job that is the candidate.")
    output_type: Literal["mlflow_model", "custom_model"] = "mlflow_model"


# --- gate -------------------------------------------------------------------------------------------------


class Evaluation(Document):
    """The Azure ML job that scores candidate and champion on the same newest labelled rows. Its inputs `champion`
    and `challenger` are set to the two models; it reports by the tag `anew_evaluation` on its own run.
    """

    job: Text
    inputs: dict[str, Scalar] = Field(default={})
    timeout: Duration = timedelta(hours=2)


class Gate(Document):
    """Non-inferiority on paired correct/incorrect answers: promote when the lower confidence bound of
    (challenger - champion) is above -margin, reject when the upper bound is below it.
    """

    kind: Literal["non_inferiority"]
    margin: float = Field(
        default=0.01,
        ge=0,
        le=0.5,
        description="How much worse is still acceptable, as a share (0.01 = 1 pp).",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="One-sided.")
    min_rows: int = Field(default=100, ge=1)
    without_champion: Literal["promote", "reject"] = Field(
        default="promote", description="When no version is in production yet."
    )


# --- register and deploy ----------------------------------------------------------------------------------


class Register(Document):
    """Tags the new model version gets, besides anew's own lineage tags (`anew_*`)."""

    tags: TagMap = Field(default={})

    @field_validator("tags")
    @classmethod
    def _leaves_lineage_alone(cls, tags: TagMap) -> TagMap:
        if reserved := sorted(name for name in tags if name.casefold().startswith(LINEAGE_PREFIX)):
            raise ValueError(f"{', '.join(map(repr, reserved))}: names starting with '{LINEAGE_PREFIX}' are anew's own")
        return tags


class TrafficStep(Document):
    """One stage of a rollout."""

    traffic: int = Field(ge=1, le=100, description="Percent for the new deployment.")
    wait: Duration = Field(default=timedelta(0), description="Least time on this stage before the next.")


class Deploy(Document):
    """Where a model version with these tags goes. All tags must match exactly; the first rule that matches wins."""

    match: TagMap = Field(min_length=1)
    endpoint: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$")]
    instance_type: str = "Standard_DS3_v2"
    instance_count: int = Field(default=1, ge=1)
    environment: str | None = Field(default=None, description="Only for models that are not MLflow models.")
    code: str | None = Field(
        default=None,
        description="Scoring code folder, relative to the policy file, with `scoring_script`.",
    )
    scoring_script: str | None = None
    sample_request: dict[str, Any] | None = Field(
        default=None, description="Smoke test sent to the new deployment before any traffic."
    )
    steps: tuple[TrafficStep, ...] = (
        TrafficStep(traffic=10, wait=timedelta(0)),
        TrafficStep(traffic=50, wait=timedelta(0)),
        TrafficStep(traffic=100, wait=timedelta(0)),
    )

    @model_validator(mode="after")
    def _ends_at_all(self) -> "Deploy":
        shares = [step.traffic for step in self.steps]
        if not shares or shares[-1] != 100 or shares != sorted(set(shares)):
            raise ValueError("'steps' must rise and end at traffic: 100")
        return self

    @model_validator(mode="after")
    def _code_has_its_script(self) -> "Deploy":
        if (self.code is None) != (self.scoring_script is None):
            raise ValueError("give both of 'code' and 'scoring_script', or neither")
        return self


class Policy(Document):
    """One model's policy."""

    api_version: Literal["anew/v1"] = Field(alias="apiVersion")
    model: Name = Field(description="The registered model this policy keeps fresh.")
    monitors: tuple[Text, ...] = Field(
        min_length=1,
        description="Monitors that watch it: v1 dataset monitor names, v2 signal names or monitor experiment names.",
    )
    mode: Literal["active", "shadow"] = Field(
        default="active", description="shadow: decide for real, record it, and start nothing."
    )
    notify_on: tuple[Literal["retrain", "hold", "blocked", "insufficient", "error"], ...] = Field(
        default=("retrain", "blocked", "error"), description="Outcomes that people are told of (settings: notify.urls)."
    )
    evidence: EvidenceRules = EvidenceRules()
    block_when: Rule | None = Field(
        default=None, description="When this fires nothing is trained, whatever else fires: the data are bad."
    )
    when: Rule
    limits: Limits = Limits()
    retrain: Retrain
    evaluate: Evaluation
    gate: Gate = Gate(kind="non_inferiority")
    register_: Register = Field(default=Register(), alias="register")
    deploy: tuple[Deploy, ...] = ()

    @model_validator(mode="after")
    def _custom_models_have_an_environment(self) -> "Policy":
        bare = [str(index) for index, rule in enumerate(self.deploy) if rule.environment is None]
        if self.retrain.output_type == "custom_model" and bare:
            raise ValueError(f"a custom_model needs 'environment' in deploy[{']/['.join(bare)}]")
        return self


POLICY_ADAPTER: TypeAdapter[Policy] = TypeAdapter(Policy)
LAUNCHER_ADAPTER: TypeAdapter[Launcher] = TypeAdapter(Launcher)
