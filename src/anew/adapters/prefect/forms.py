"""Forms as flow runs of the `approval` deployment, each suspended until a person fills it in.

Imports Prefect, which takes seconds: for flows only.
"""

from collections.abc import Mapping
from typing import Annotated

from prefect.input import RunInput
from pydantic import Field

from anew.adapters.prefect.api import PrefectFlows
from anew.core.retrainings.lifecycle import Retraining

DEPLOYMENT = "approval/default"

# A JSON Schema pattern, because Prefect's server checks the form by its schema before it resumes the run.
RequiredText = Annotated[str, Field(pattern=r"\S", max_length=1000)]


class ApprovalForm(RunInput):
    """What a person fills in. No field has a default: with defaults alone, Prefect resumes a run with an empty form."""

    approve: bool = Field(description="Whether the candidate is registered.")
    reason: RequiredText = Field(description="For the audit trail.")
    your_name: RequiredText = Field(description="For the audit trail, because Prefect has no users.")


class PrefectForms:
    """Implements Forms."""

    def __init__(self, prefect: PrefectFlows) -> None:
        self._prefect = prefect

    def unfinished(self) -> Mapping[str, str]:
        return {run.id: str(run.parameters.get("retraining_id")) for run in self._prefect.unfinished_runs(DEPLOYMENT)}

    def ask(self, retraining: Retraining) -> None:
        key = f"{DEPLOYMENT}/{retraining.id}/{retraining.state_since.isoformat()}"
        self._prefect.start(DEPLOYMENT, key, {"retraining_id": retraining.id})

    def withdraw(self, form: str, why: str) -> None:
        self._prefect.cancel_suspended(form, why)
