"""The evidence of a policy besides the event itself: sources of signals, and which signals count."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from anew.core.base.document import Document, Duration, LocalMoment, Text


class LogQuery(Document):
    """A KQL query of your own on Log Analytics or Application Insights. Each row is one signal: columns `metric` and
    `value`, optionally `feature`, `at`, `rows`, `threshold` and `monitor`. Several rows of one metric are its history.
    """

    kind: Literal["log_analytics"]
    query: Text = Field(description="KQL. `{model}` is replaced by the model's name.")
    window: Duration = Field(
        default=timedelta(days=30),
        description="How far back the query may look, ISO 8601 (P30D).",
    )
    workspace_id: str | None = Field(
        default=None, description="Log Analytics workspace; default: the one in the settings."
    )


class MonitorHistory(Document):
    """The value and threshold series that Azure ML's model monitors keep as run metrics, for the policy's monitors."""

    kind: Literal["monitor_history"]
    window: Duration = Field(default=timedelta(days=30), description="How far back.")


DriftMetric = Literal[
    "population_stability_index",
    "jensen_shannon_distance",
    "normalized_wasserstein_distance",
    "two_sample_kolmogorov_smirnov_test",
    "pearsons_chi_squared_test",
]


class DriftOfWindow(Document):
    """Drift computed by anew itself, feature by feature: a window of rows against reference rows, or against a
    profile that `anew profile` stored. Each value comes with its noise floor for the rows at hand.
    """

    kind: Literal["drift"]
    reference: Text = Field(description="Parquet or CSV file of reference rows, or a profile (.json).")
    window: Text = Field(description="Parquet or CSV file whose newest rows are held against the reference.")
    window_rows: int | None = Field(default=None, ge=1, description="How many of the newest rows; default: all.")
    metrics: tuple[DriftMetric, ...] = Field(default=("population_stability_index",), min_length=1)
    features: tuple[Text, ...] = Field(default=(), description="Default: all that both files have.")
    mode: Literal["robust", "azure"] = Field(
        default="robust",
        description="robust: quantiles of the reference; azure: Azure ML's own bins, which need reference rows.",
    )


class GainOfRetraining(Document):
    """The gain of a newly trained model, measured by small surrogate models on labelled batches (classification).
    Needs the extra `local`, and some seconds: surrogates are trained for each of the newest 42 batches.
    """

    kind: Literal["gain"]
    data: Text = Field(description="Parquet or CSV file of labelled rows, which grows batch by batch.")
    label: Text = Field(description="The label column; rows without a label do not count yet.")
    batch: Text = Field(description="The column that names a row's batch.")
    time: str | None = Field(
        default=None, description="The column with a row's time; default: the batch column, which is then a date."
    )
    window: int = Field(default=8, ge=1, le=1000, description="How many batches a model is trained on.")
    trained_until: LocalMoment | None = Field(
        default=None,
        description="UTC; the newest row that the first version saw. Default: the model saw the oldest batches here.",
    )


EvidenceSpec = Annotated[LogQuery | MonitorHistory | DriftOfWindow | GainOfRetraining, Field(discriminator="kind")]
EvidenceKind = Literal["log_analytics", "monitor_history", "drift", "gain"]


def kind_of(spec: EvidenceSpec) -> EvidenceKind:
    """The kind of this spec. The type checker refuses a spec whose kind is missing in `EvidenceKind`."""
    return spec.kind


class EvidenceRules(Document):
    """The evidence to gather, and which of it counts."""

    sources: tuple[EvidenceSpec, ...] = ()
    max_age: Duration = Field(
        default=timedelta(days=30), description="A series whose newest value is older does not count."
    )
    min_rows: int = Field(
        default=0, ge=0, description="Signals computed from fewer rows are left out; those of unknown rows are not."
    )
    coalesce: Duration = Field(
        default=timedelta(0), description="How long to wait after an event for others, to decide about all at once."
    )
    on_missing: Literal["insufficient", "hold", "error"] = Field(
        default="insufficient", description="The outcome when evidence is missing and the rules are therefore unknown."
    )
