"""What a user of plain Prefect would write: decide and launch, and wait for what was launched."""

import os
import time
from typing import Any

from prefect import flow

from bench.peers.factory import FACTORY, PIPELINE, RESOURCE_GROUP, URL_VARIABLE, data_factory

THRESHOLD = 0.3
POLL_SECONDS = 60
_ENDED = {"Succeeded", "Failed", "Cancelled"}


@flow
def retrain(event: dict[str, Any]) -> None:
    """Start the pipeline if the drift of the event is above the threshold."""
    if event["drift"] > THRESHOLD:
        client = data_factory(os.environ[URL_VARIABLE])
        client.pipelines.create_run(RESOURCE_GROUP, FACTORY, PIPELINE, {"sample": event["sample"]})


@flow
def retrain_and_wait(sample: str, seconds: int) -> None:
    """Start the pipeline and wait for its end, looking once a minute."""
    client = data_factory(os.environ[URL_VARIABLE])
    parameters = {"sample": sample, "seconds": seconds}
    run_id = client.pipelines.create_run(RESOURCE_GROUP, FACTORY, PIPELINE, parameters).run_id
    while client.pipeline_runs.get(RESOURCE_GROUP, FACTORY, run_id).status not in _ENDED:
        time.sleep(POLL_SECONDS)
