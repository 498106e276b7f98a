"""The policy language: the contents of one YAML document as strict pydantic values.

A policy names a model, its evidence of drift, the rules by which that evidence leads to a retraining, how to train,
the gate that the new model must pass, and where its tags deploy it.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from anew.core.base.document import Document, Duration, Name, Scalar, Text
from anew.core.policies.deploy import Deploy
from anew.core.policies.evidence import EvidenceRules
from anew.core.policies.gate import Evaluation, Gate
from anew.core.policies.limits import Limits
from anew.core.rules.rule import Rule

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
LauncherKind = Literal["adf", "aml"]


def launcher_kind(launcher: Launcher) -> LauncherKind:
    """The kind of this launcher. The type checker refuses a launcher whose kind is missing in `LauncherKind`."""
    return launcher.kind


class Adoption(Document):
    """Trainings started by others that the policy adopts when they complete: their candidates pass the same gate."""

    experiment: Text
    tags: TagMap = Field(default={}, description="Tags the run must have, each with exactly this value.")


class Retrain(Document):
    """How to make a candidate."""

    launcher: Launcher
    timeout: Duration = Field(default=timedelta(hours=12), description="A training that takes longer has failed.")
    cost: float = Field(
        default=0.1,
        gt=0,
        allow_inf_nan=False,
        description="The cost of one retraining, in accuracy x readings: 0.1 is worth ten points in one batch.",
    )
    output: str = Field(default="model", description="The output of the training job that is the candidate.")
    output_type: Literal["mlflow_model", "custom_model"] = "mlflow_model"
    adopt: tuple[Adoption, ...] = ()


# --- register ----------------------------------------------------------------------------------


class Register(Document):
    """Tags the new model version gets, besides anew's own lineage tags (`anew_*`)."""

    tags: TagMap = Field(default={})

    @field_validator("tags")
    @classmethod
    def _leaves_lineage_alone(cls, tags: TagMap) -> TagMap:
        if reserved := sorted(name for name in tags if name.casefold().startswith(LINEAGE_PREFIX)):
            raise ValueError(f"{', '.join(map(repr, reserved))}: names starting with '{LINEAGE_PREFIX}' are anew's own")
        return tags


class Policy(Document):
    """One model's policy."""

    api_version: Literal["anew/v1"] = Field(alias="apiVersion")
    model: Name = Field(description="The registered model this policy keeps fresh.")
    monitors: tuple[Text, ...] = Field(
        min_length=1,
        description="Monitors that watch it: v1 dataset monitor names, v2 signal names or monitor experiment names.",
    )
    mode: Literal["active", "shadow"] = Field(
        default="active", description="shadow: decide and record as usual, but start nothing."
    )
    notify_on: tuple[
        Literal["retrain", "roll_back", "hold", "blocked", "insufficient", "error", "registered", "rejected", "failed"],
        ...,
    ] = Field(
        default=("retrain", "roll_back", "blocked", "error", "registered", "rejected", "failed"),
        description="Outcomes of decisions and ends of retrainings to notify about; requests for approval always are.",
    )
    evidence: EvidenceRules = EvidenceRules()
    block_when: Rule | None = Field(
        default=None, description="While this fires nothing is trained, whatever else fires: the data are bad."
    )
    when: Rule
    limits: Limits = Limits()
    retrain: Retrain
    evaluate: Evaluation
    gate: Gate = Gate(kind="non_inferiority")
    register_: Register = Field(default=Register(), alias="register")
    deploy: tuple[Deploy, ...] = ()
    deploy_by: Literal["first", "all"] = Field(
        default="first",
        description="Whether the first rule that matches deploys a version, or every rule that matches.",
    )

    @model_validator(mode="after")
    def _custom_models_have_an_environment(self) -> "Policy":
        bare = [str(index) for index, rule in enumerate(self.deploy) if rule.environment is None]
        if self.retrain.output_type == "custom_model" and bare:
            raise ValueError(f"a custom_model needs 'environment' in deploy[{']/['.join(bare)}]")
        return self


POLICY_ADAPTER: TypeAdapter[Policy] = TypeAdapter(Policy)
LAUNCHER_ADAPTER: TypeAdapter[Launcher] = TypeAdapter(Launcher)
DEPLOY_ADAPTER: TypeAdapter[Deploy] = TypeAdapter(Deploy)
