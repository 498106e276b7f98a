"""The checks of a new model before it is registered: its evaluation, the gate, and a person's approval."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from anew.core.base.document import Document, Duration, Number, Scalar, Text
from anew.core.base.metrics import Worse, direction_of


class Evaluation(Document):
    """How candidate and champion are scored on the same newest labelled rows.

    `by: job` is an Azure ML job whose inputs `champion` and `challenger` are set to the two models, and `gate`, if it
    declares one, to the policy's gate as JSON; it reports by the tag `anew_evaluation` on its own run. `by: training`
    takes the report, or the MLflow metrics, that the training job itself left.
    """

    by: Literal["job", "training"] = "job"
    job: Text | None = None
    inputs: dict[str, Scalar] = Field(default={})
    timeout: Duration = timedelta(hours=2)

    @model_validator(mode="after")
    def _names_its_job(self) -> "Evaluation":
        if (self.job is None) == (self.by == "job"):
            raise ValueError("'job' goes with by: job, and only with it")
        return self


class Slices(Document):
    """No part of the rows may get worse by more than the margin. All slices together keep the gate's confidence
    (Holm 1979).
    """

    columns: tuple[Text, ...] = Field(min_length=1, description="Each value of each of these columns is a slice.")
    margin: Number = Field(default=0.03, ge=0, description="In the metric's unit.")
    min_rows: int = Field(default=50, ge=1, description="Smaller slices are not judged.")


class Floor(Document):
    """A limit that holds whatever the champion does, such as on latency or size."""

    metric: Text
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _has_one_limit(self) -> "Floor":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of 'at_least' and 'at_most'")
        return self


class Inconclusive(Document):
    """After an inconclusive gate: wait for more labelled rows, evaluate again, and in the end give the answer.

    All evaluations together keep the gate's confidence: the more of them there may be, the stricter each is.
    """

    keep_for: Duration = Field(default=timedelta(days=3), description="How long to wait in all.")
    every: Duration = Field(default=timedelta(days=1), description="Between two evaluations.")
    then: Literal["reject", "ask"] = Field(default="reject", description="ask: a person decides.")

    @model_validator(mode="after")
    def _waits_between(self) -> "Inconclusive":
        if not self.every:
            raise ValueError("'every' must be more than 0s: the same rows again are no evidence")
        return self


class Approval(Document):
    """A person has to approve a version that passed before it is registered. No answer is a rejection."""

    timeout: Duration = timedelta(days=3)


class Gate(Document):
    """The comparison on the same rows, by one-sided confidence bounds of how much better the challenger is.

    non_inferiority: promote when the lower bound is above -margin, reject when the upper bound is below it.
    superiority: promote when the lower bound is above +margin, reject when the upper bound is below it.
    """

    kind: Literal["non_inferiority", "superiority"]
    metric: Text = Field(
        default="accuracy",
        description="accuracy, f1, auc, mae, rmse, or a column that the evaluation wrote.",
    )
    worse: Literal["above", "below"] | None = Field(
        default=None, description="Which way the metric gets worse; needed for columns that anew does not know."
    )
    margin: Number = Field(default=0.01, ge=0, description="In the metric's unit; 0.01 of accuracy is 1 pp.")
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="One-sided.")] = 0.95
    min_rows: int = Field(default=100, ge=1)
    block: Text | None = Field(
        default=None, description="Rows with one value of this column depend on each other, such as a day's."
    )
    slices: Slices | None = None
    floors: tuple[Floor, ...] = ()
    without_champion: Literal["promote", "reject"] = Field(
        default="promote", description="When no version is in production yet. Floors count all the same."
    )
    inconclusive: Inconclusive = Inconclusive()
    approval: Approval | None = None

    @property
    def worsens(self) -> Worse:
        """Which way the metric gets worse."""
        known = direction_of(self.metric)
        if known is None and self.worse is None:
            raise ValueError(f"which way '{self.metric}' gets worse is not known: say 'worse: above' or 'worse: below'")
        return known or Worse(self.worse or "above")

    @model_validator(mode="after")
    def _knows_the_direction(self) -> "Gate":
        if self.worsens is not Worse(self.worse or self.worsens):
            raise ValueError(f"'{self.metric}' gets worse as it goes {self.worsens}, not {self.worse}")
        return self
