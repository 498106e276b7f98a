"""What Prefect asks a person whose approval a retraining waits for. Imports Prefect, which takes seconds."""

from typing import Annotated

from prefect.input import RunInput
from pydantic import Field

# A JSON Schema pattern, because Prefect's server checks the form by its schema before it resumes the run.
Said = Annotated[str, Field(pattern=r"\S", max_length=1000)]


class ApprovalForm(RunInput):
    """No field has a default: Prefect resumes a run whose form is empty when each of them has."""

    approve: bool = Field(description="Whether the candidate is registered.")
    reason: Said = Field(description="For the audit trail.")
    your_name: Said = Field(description="Prefect does not know who you are; this is written down as you say it.")
