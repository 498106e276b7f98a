"""The policy language: what one YAML document may say, as strict pydantic values.

A policy names a model, what counts as evidence of drift, when that evidence is reason enough to retrain, how
to train, what the new model must prove, and where its tags deploy it.
"""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    WithJsonSchema,
    field_validator,
    model_validator,
)

LINEAGE_PREFIX = "anew_"
LONGEST = timedelta(days=3650)  # so that no policy can push `now - duration` out of the calendar

_SHORT = re.compile(r"(\d{1,8})(s|m|h|d|w)", re.ASCII)
_ISO = re.compile(
    r"P(?=\w)(?:(?P<weeks>\d{1,8})W)?(?:(?P<days>\d{1,8})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,8})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,8}(?:\.\d{1,9})?)S)?)?",
    re.ASCII,
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(value: object) -> timedelta:
    """A duration of at most ten years from ISO 8601 (`PT1H`, `P30D`; no months or years, whose length varies) or
    from a short form (`90s`, `30m`, `24h`, `7d`, `2w`). Raises ValueError.
    """
    duration = value if isinstance(value, timedelta) else _duration_of_text(value)
    if not timedelta(0) <= duration <= LONGEST:
        raise ValueError("must be a duration between 0s and P3650D")
    return duration


def _duration_of_text(value: object) -> timedelta:
    if isinstance(value, str):
        if short := _SHORT.fullmatch(value):
            return timedelta(**{_UNITS[short[2]]: int(short[1])})
        if iso := _ISO.fullmatch(value):
            return timedelta(**{unit: float(count) for unit, count in iso.groupdict().items() if count is not None})
    raise ValueError("must be a duration with its unit, such as 90s, 30m, 24h, 7d, PT1H or P30D")


def duration_text(duration: timedelta) -> str:
    """The duration in ISO 8601 without months and years, which parse_duration reads back."""
    seconds = f"{duration.seconds}.{duration.microseconds:06}".rstrip("0").rstrip(".")
    days = f"{duration.days}D" if duration.days else ""
    return f"P{days}" if days and seconds == "0" else f"P{days}T{seconds}S"


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$")]
Text = Annotated[str, Field(min_length=1)]
TagMap = dict[str, str]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(\d+[smhdw]|P(?=[\dT])(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?)$",
            "examples": ["90s", "30m", "24h", "7d", "PT1H", "P30D"],
        }
    ),
]
Scalar = str | int | float | bool


class Document(BaseModel):
    """Base of everything a policy holds: frozen, and a key that nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# --- evidence ---------------------------------------------------------------------------------------------


class LogQuery(Document):
    """A KQL query of your own. Each row is one signal: columns `metric` and `value`, optionally `feature` and `at`."""

    kind: Literal["log_analytics"]
    query: Text = Field(description="KQL. `{model}` is replaced by the model's name.")
    window: Duration = Field(
        default=timedelta(days=30),
        description="How far back the query may look, ISO 8601 (P30D).",
    )
    workspace_id: str | None = Field(
        default=None, description="Log Analytics workspace; default: the one in the settings."
    )


class EvidenceRules(Document):
    """What to gather besides the event itself."""

    queries: tuple[LogQuery, ...] = ()
    max_age: Duration = Field(default=timedelta(days=30), description="Signals older than this are left out.")


# --- rules ------------------------------------------------------------------------------------------------


class Threshold(Document):
    """One metric beyond a value. Exactly one of `above` and `below`; equality is not a breach."""

    kind: Literal["threshold"]
    metric: Text = Field(
        description="Compared without regard to case and underscores, as Azure spells one metric several ways."
    )
    above: float | None = Field(default=None, allow_inf_nan=False)
    below: float | None = Field(default=None, allow_inf_nan=False)
    feature: str | None = Field(default=None, description="Only this feature; default: any feature of the metric.")

    @model_validator(mode="after")
    def _one_direction(self) -> "Threshold":
        if (self.above is None) == (self.below is None):
            raise ValueError("give exactly one of 'above' and 'below'")
        return self


class MonitorBreach(Document):
    """A monitor reported a breach, which is recomputed from value and threshold where both are known."""

    kind: Literal["monitor_breach"]
    signal: str | None = Field(
        default=None,
        description="Only this signal; default: any signal of this policy's monitors.",
    )


class AllOf(Document):
    """Every rule fires."""

    kind: Literal["all"]
    rules: tuple["Rule", ...] = Field(min_length=1)


class AnyOf(Document):
    """At least one rule fires."""

    kind: Literal["any"]
    rules: tuple["Rule", ...] = Field(min_length=1)


class Not(Document):
    """The rule does not fire."""

    kind: Literal["not"]
    rule: "Rule"


Rule = Annotated[Threshold | MonitorBreach | AllOf | AnyOf | Not, Field(discriminator="kind")]


class Limits(Document):
    """What holds a retraining back although the rules fire."""

    cooldown: Duration = Field(
        default=timedelta(hours=24),
        description="Least time between two retrainings of the model.",
    )


# --- launchers --------------------------------------------------------------------------------------------


class DataFactoryLauncher(Document):
    """Train by an Azure Data Factory pipeline. It must declare the string parameters `anew_retraining_id` and
    `anew_job_name`, and give its Azure ML job that name.
    """

    kind: Literal["adf"]
    pipeline: Text
    factory: str | None = Field(default=None, description="Default: the factory in the settings.")
    parameters: dict[str, Scalar] = {}


class AzureMLLauncher(Document):
    """Train by an Azure ML job: the same YAML `az ml job create` takes, its path relative to the policy file."""

    kind: Literal["aml"]
    job: Text
    inputs: dict[str, Scalar] = {}


Launcher = Annotated[DataFactoryLauncher | AzureMLLauncher, Field(discriminator="kind")]


class Retrain(Document):
    """How to make a candidate."""

    launcher: Launcher
    timeout: Duration = Field(default=timedelta(hours=12), description="A training that takes longer has failed.")
    output: str = Field(default="model", description="The output of the training job that is the candidate.")
    output_type: Literal["mlflow_model", "custom_model"] = "mlflow_model"


# --- gate -------------------------------------------------------------------------------------------------


class Evaluation(Document):
    """The Azure ML job that scores candidate and champion on the same newest labelled rows. Its inputs `champion`
    and `challenger` are set to the two models; it reports by the tag `anew_evaluation` on its own run.
    """

    job: Text
    inputs: dict[str, Scalar] = {}
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

    tags: TagMap = {}

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
    evidence: EvidenceRules = EvidenceRules()
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
