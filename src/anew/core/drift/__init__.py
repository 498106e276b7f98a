"""Drift of features between a reference and a window of rows: each value beside the value that chance alone would give.

There are two ways to compute it. `drift_table` needs a stored `ReferenceProfile` and the window; decide by its values.
`azure_table` needs the rows of both and gives the numbers of Azure ML's model monitor, to explain its reports. May
import `statistics`.
"""

from anew.core.drift.azure import azure_table
from anew.core.drift.noise import required_rows
from anew.core.drift.profile import (
    CategoricalProfile,
    FeatureProfile,
    NumericProfile,
    ReferenceProfile,
    Unusable,
    profile_reference,
)
from anew.core.drift.profile_json import from_json, to_json
from anew.core.drift.robust import drift_table
from anew.core.drift.values import DEFAULT_ALPHA, Drift, DriftValue, Metric, NotMeasurable, Rows

__all__ = [
    "DEFAULT_ALPHA",
    "CategoricalProfile",
    "Drift",
    "DriftValue",
    "FeatureProfile",
    "Metric",
    "NotMeasurable",
    "NumericProfile",
    "ReferenceProfile",
    "Rows",
    "Unusable",
    "azure_table",
    "drift_table",
    "from_json",
    "profile_reference",
    "required_rows",
    "to_json",
]
