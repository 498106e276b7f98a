"""`anew demo`."""

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from anew.cli.output import print_json
from anew.errors import DemoFailed


def demo(*, folder: Path = Path(".anew/demo"), keep: bool = False, json: bool = False) -> int:
    """Watch a real model drift, retrain and go live on local Azure, without an Azure account. Run it from a checkout.

    Parameters
    ----------
    folder
        Folder for settings, logs, ledger and picture; emptied first.
    keep
        Leave all processes running at the end.
    json
        Print the steps on standard error, and one JSON object on standard output.
    """
    from anew.demo.narrator import Narrator
    from anew.demo.processes import Processes
    from anew.demo.stack import Stack, choose_addresses, environment, write_settings

    began = time.monotonic()
    policies = Path("policies").resolve()
    if not Path("prefect.yaml").is_file() or not policies.is_dir():
        raise DemoFailed("no prefect.yaml and policies/ here", advice="Run it from a checkout: cd anew && make demo")
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    addresses = choose_addresses()
    variables = environment(folder, write_settings(folder, addresses, policies), addresses)
    os.environ.update(variables)
    console = Console(stderr=json, highlight=False)
    narrator = Narrator(console)
    with Processes(folder / "logs", variables) as processes:
        stack = Stack(folder, addresses, processes, narrator)
        outcome = _play(stack, narrator, console.width)
        outcome["seconds"] = round(time.monotonic() - began, 1)
        narrator.chapter(f"Done in {outcome['seconds']} s")
        if keep:
            processes.keep()
            outcome |= {"processes": processes.pids(), "settings": str(folder / "anew.toml")}
            _show_processes(narrator, processes.pids(), folder)
    if json:
        print_json(outcome)
    return 0 if outcome["new_version"] and outcome["serving"] else 1


def _play(stack: Any, narrator: Any, width: int) -> dict[str, Any]:
    from anew.adapters.prefect.api import PrefectFlows
    from anew.demo.azure_setup import AzureSetup
    from anew.demo.picture import draw_picture, save_picture
    from anew.demo.scenario import Scenario, flow_runs, shipped
    from anew.settings import load_settings
    from anew.wiring import build_engine

    since = datetime.now(UTC)
    narrator.chapter("Setting up: local Azure, Prefect, worker, webhook")
    settings = load_settings()
    engine, setup = build_engine(settings, "demo"), AzureSetup(settings)
    elec2, weather = shipped()
    scenario = Scenario(stack, engine, setup, narrator)

    def set_up_azure() -> None:
        setup.publish_pipeline(Path("azure/elec2-retrain.pipeline.json"), "elec2-retrain")
        state = setup.subscribe(f"{stack.addresses.webhook}/events")
        narrator.step(f"Event Grid subscription created by the SDK; the webhook answered its handshake: {state}")
        scenario.prepare(elec2)
        scenario.prepare(weather)

    stack.start(meanwhile=set_up_azure)
    scenario.await_first(elec2)
    scenario.await_first(weather)

    narrator.chapter("Started by an event: Elec2, trained by Data Factory")
    first = scenario.event_driven(elec2)
    picture = stack.folder / "accuracy.png"
    save_picture(first.weeks, "Elec2: weekly accuracy in production", picture)
    narrator.draw(draw_picture(first.weeks, "Elec2: weekly accuracy in production", width))
    narrator.step(f"picture: {picture}")

    narrator.chapter("Found by the schedule, with the webhook off: weather, trained by Azure ML")
    stack.processes.stop("webhook")
    narrator.step("webhook stopped; the monitor sends no event")
    with PrefectFlows(settings.prefect.api_url) as flows:
        flows.schedule_every("reconcile/default", seconds=3)
        second = scenario.polled(weather)
        narrator.note(f"why: anew explain {first.decision.id}   (ANEW_SETTINGS={stack.folder}/anew.toml)")
        narrator.note(f"Prefect UI: {stack.addresses.prefect}")
        runs = flow_runs(flows, since)
    return {**_summary(first), "serving": first.answered_by == f"elec2:{first.retraining.new_version}",
            "prefect_flow_runs": runs, "picture": str(picture), "polling": _summary(second)}  # fmt: skip


def _summary(result: Any) -> dict[str, Any]:
    gate = result.retraining.gate
    return {
        "event_id": result.event_id,
        "decision": result.decision.outcome,
        "decision_id": result.decision.id,
        "launcher": result.retraining.launcher,
        "external_run_id": result.retraining.external_run_id,
        "model": result.retraining.model,
        "champion_version": result.champion_version,
        "new_version": result.retraining.new_version,
        "accuracy_before": gate.champion,
        "accuracy_after": gate.challenger,
        "gate": gate.outcome,
        "endpoint": result.rollout.endpoint,
        "traffic": result.traffic,
    }


def _show_processes(narrator: Any, pids: dict[str, int], folder: Path) -> None:
    narrator.chapter("All processes are left running")
    for name, pid in pids.items():
        narrator.note(f"{name}: process {pid}")
    narrator.note(f"try: ANEW_SETTINGS={folder}/anew.toml anew status")
    narrator.note(f"stop it: kill {' '.join(str(pid) for pid in pids.values())}")
