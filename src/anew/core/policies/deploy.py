"""Where the tags of a model version deploy it, how traffic is shifted to it, and which checks roll it back."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from anew.core.base.document import Document, Duration, Number, Text

MIRROR_AT_MOST = 50  # percent; Azure ML's documented limit


class TagMatch(Document):
    """A condition on a tag's value, where it need not be exactly one text."""

    in_: tuple[str, ...] | None = Field(default=None, alias="in", min_length=1)
    prefix: Text | None = None
    regex: Text | None = Field(default=None, description="Of the whole value.")

    @model_validator(mode="after")
    def _is_one_way_that_compiles(self) -> "TagMatch":
        if sum(way is not None for way in (self.in_, self.prefix, self.regex)) != 1:
            raise ValueError("give exactly one of 'in', 'prefix' and 'regex'")
        try:
            re.compile(self.regex or "")
        except re.error as error:
            raise ValueError(f"'regex' does not compile: {error}") from None
        return self


def _way_of(value: object) -> str:
    return "way" if isinstance(value, dict | TagMatch) else "text"


# Distinguished by shape, so that a mistake is reported once and not for each member of the union.
TagValue = Annotated[Annotated[str, Tag("text")] | Annotated[TagMatch, Tag("way")], Discriminator(_way_of)]


class Step(Document):
    """One stage of a rollout: a share of the live traffic, or of mirrored copies whose answers are dropped."""

    traffic: int | None = Field(default=None, ge=1, le=100, description="Percent for the new deployment.")
    mirror: int | None = Field(default=None, ge=1, le=MIRROR_AT_MOST, description="Percent copied to it.")
    wait: Duration = Field(default=timedelta(minutes=10), description="Least time on this stage.")
    min_requests: int = Field(default=100, ge=0, description="Fewest requests to it on this stage.")

    @model_validator(mode="after")
    def _is_live_or_mirrored(self) -> "Step":
        if (self.traffic is None) == (self.mirror is None):
            raise ValueError("give one of 'traffic' and 'mirror'")
        return self


class Analysis(Document):
    """The new deployment's answers are compared with the old one's on the same traffic, by confidence bounds.

    A stage passes when every check passes, is rolled back when one fails, and waits while one is inconclusive.
    """

    max_error_increase: Number = Field(default=0.01, ge=0, le=1, description="As a share of the requests.")
    max_latency_increase: Number | None = Field(
        default=0.5, ge=0, description="Of the 95th percentile, relative: 0.5 is half as long again."
    )
    max_score_shift: Number | None = Field(
        default=None, gt=0, le=1, description="Jensen-Shannon distance of the scores; needs them to be logged."
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="One-sided.")] = 0.95
    every: Duration = Field(default=timedelta(minutes=1), description="Between two measurements.")
    failure_limit: int = Field(default=1, ge=0, description="Failed measurements in a row that are tolerated.")
    error_limit: int = Field(
        default=4, ge=0, description="Measurements in a row that could not be made and are tolerated."
    )
    inconclusive_for: Duration = Field(
        default=timedelta(hours=24), description="How long a stage may stay inconclusive before it is rolled back."
    )


EndpointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$")]


EndpointKind = Literal["online", "batch"]


class Deploy(Document):
    """The endpoint of a model version with these tags. A text must be the tag's value exactly."""

    match: dict[str, TagValue] = Field(min_length=1)
    kind: EndpointKind = "online"
    endpoint: EndpointName
    instance_type: str = "Standard_DS3_v2"
    instance_count: int = Field(default=1, ge=1)
    compute: Text | None = Field(default=None, description="The compute cluster of a batch deployment.")
    environment: str | None = Field(default=None, description="Only for models that are not MLflow models.")
    code: str | None = Field(
        default=None,
        description="Scoring code folder, relative to the policy file, with `scoring_script`.",
    )
    scoring_script: str | None = None
    sample_request: dict[str, Any] | None = Field(
        default=None, description="Smoke test sent to the new deployment before any traffic."
    )
    steps: tuple[Step, ...] = (
        Step(mirror=20),
        Step(traffic=5),
        Step(traffic=20),
        Step(traffic=50),
        Step(traffic=100),
    )
    analysis: Analysis | None = Field(default=Analysis(), description="null: stages pass by time and requests alone.")
    bake: Duration = Field(
        default=timedelta(hours=24),
        description="How long the old deployment stays, warm at 0 %, and the new one is watched.",
    )
    on_untag: Literal["keep", "roll_back"] = Field(
        default="keep", description="When the serving version loses the tags: keep it, or serve the newest that match."
    )

    @model_validator(mode="after")
    def _ends_at_all(self) -> "Deploy":
        live = [step.traffic for step in self.steps if step.traffic is not None]
        mirrored_late = any(step.mirror is not None for step in self.steps[-len(live) :]) if live else True
        if not live or live[-1] != 100 or live != sorted(set(live)) or mirrored_late:
            raise ValueError("'steps' must mirror first, if at all, then rise and end at traffic: 100")
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Deploy":
        if (self.code is None) != (self.scoring_script is None):
            raise ValueError("give both of 'code' and 'scoring_script', or neither")
        if (self.kind == "batch") != (self.compute is not None):
            raise ValueError("'compute' goes with kind: batch, and only with it")
        if self.kind == "batch" and self.sample_request is not None:
            raise ValueError("'sample_request' is for kind: online; a batch endpoint answers by jobs")
        return self
