"""Whatever process is killed, wherever: each retraining has one run, one evaluation, one version and one deployment,
and nothing is left running. Real processes, real SDK clients, and a local Azure that is counted by its own journal.

Here one gap is tried for every state that the first story goes through, and those around every kind of write that the
others add. `make faults` tries all gaps of all stories, on SQLite and PostgreSQL.
"""

from collections.abc import Generator, Sequence
from contextlib import nullcontext

import pytest

from anew.engine.base import ledger, ports
from tests.faults.all_stories import STORIES
from tests.faults.boundaries import Call, distinct_gaps, gaps_around, is_port, methods_of, new_gaps, ports_of_engine
from tests.faults.campaign import AzureCase, Case, Outcome, Stage, prepared_stage
from tests.faults.rollouts import ROLLOUT_STORIES

FIRST, *OTHERS = STORIES
TRAFFIC = "endpoints.online.set_traffic"
AZURE_DEATHS = 6

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
EFFECTS = {
    "launchers.adf.launch",
    "launchers.aml.launch",
    "launchers.adf.cancel",
    "jobs.submit",
    "jobs.cancel",
    "registry.register",
    "endpoints.online.create_deployment",
    TRAFFIC,
    "endpoints.online.delete_deployment",
    "registry.set_tags",
    "ledger.receive",
    "ledger.lease",
    "ledger.record_decision",
    "ledger.save_retraining",
    "ledger.settle",
    "ledger.add_rollout",
    "ledger.lease_endpoint",
    "ledger.save_rollout",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    with prepared_stage(tmp_path_factory.mktemp("faults")) as prepared:
        yield prepared


@pytest.fixture(scope="module")
def rehearsals(stage: Stage) -> dict[str, tuple[Call, ...]]:
    return {story: stage.rehearse(story) for story in STORIES}


def play(stage: Stage, cases: Sequence[Case | AzureCase]) -> list[Outcome]:
    return list(stage.play_all(cases, lambda: nullcontext(None)))


def bad(outcomes: Sequence[Outcome]) -> str:
    return "\n\n".join(f"{each.case}: {each.verdict}\n{each.story}" for each in outcomes if not each.verdict.is_good)


def test_kill_in_any_state(stage: Stage, rehearsals: dict[str, tuple[Call, ...]]) -> None:
    """A process killed in any state of the first story loses nothing and repeats nothing."""
    calls = rehearsals[FIRST]

    outcomes = play(stage, [Case(FIRST, gap, calls) for gap in distinct_gaps(calls)])

    assert len(outcomes) > 30
    assert not bad(outcomes)


def test_kill_around_any_write(stage: Stage, rehearsals: dict[str, tuple[Call, ...]]) -> None:
    """A process killed around any other kind of write loses nothing and repeats nothing."""
    seen = {call.name for call in rehearsals[FIRST] if call.wrote}
    cases: list[Case] = []
    for story in OTHERS:
        calls = rehearsals[story]
        cases += [Case(story, gap, calls) for gap in new_gaps(calls, seen)]
        seen |= {call.name for call in calls if call.wrote}

    outcomes = play(stage, cases)

    assert seen >= EFFECTS, "the rehearsals saw every effect"
    assert not bad(outcomes)


def test_kill_around_traffic_writes(stage: Stage, rehearsals: dict[str, tuple[Call, ...]]) -> None:
    """A process killed around a traffic write leaves the intended traffic."""
    going, *others = ROLLOUT_STORIES
    around = {story: gaps_around(rehearsals[story], TRAFFIC) for story in ROLLOUT_STORIES}
    cases = [Case(going, gap, rehearsals[going]) for gap in around[going]]
    # The others go the same way, up to their last write, which goes back.
    cases += [Case(story, gap, rehearsals[story]) for story in others for gap in around[story][-3:]]

    outcomes = play(stage, cases)

    assert len(outcomes) >= 3 * 5, "mirror, share, all, and two ways back"
    assert not bad(outcomes)


def test_kill_of_local_azure(stage: Stage) -> None:
    """A kill of the local Azure at any point loses nothing and repeats nothing."""
    entries = stage.journal_growth(FIRST)

    lifetimes = range(1, entries, max(1, entries // AZURE_DEATHS))
    outcomes = play(stage, [AzureCase(FIRST, lifetime, durable=lifetime % 2 == 0) for lifetime in lifetimes])

    assert not bad(outcomes)


def test_every_port_is_watched() -> None:
    """Every port of an `Engine` is watched for calls; the two of Prefect are not among them."""
    all_ports = {port for module in (ports, ledger) for port in vars(module).values() if is_port(port)}

    watched = {port for _, port in ports_of_engine()}

    # The relay has a test in test_kill_nine_intake; a form is opened by its key, once, however often it is asked for.
    assert all_ports - watched == {ports.Flows, ports.Forms}
    assert all(methods_of(port) for port in watched)
