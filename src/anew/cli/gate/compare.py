"""`anew gate compare`."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from anew.core.gate import GateOutcome, compare, judge_gate, parse_gate, report_text
from anew.core.policies.gate import Gate
from anew.errors import InvalidRequest, InvalidTable


def compare_rows(
    scored: Path,
    *,
    gate: str | None = None,
    policy: Path | None = None,
    model: str | None = None,
    figure: Annotated[list[str] | None, Parameter(negative=())] = None,
    worst: int = 8,
    json: bool = False,
) -> int:
    """Compare two models on rows that both have scored, as the gate would. Exits 0 to promote, else 1.

    Parameters
    ----------
    scored
        A Parquet or CSV file with the columns label, champion and challenger; for auc champion_score and
        challenger_score; and the columns of slices and blocks.
    gate
        The gate as JSON, as in the input `gate` of an evaluation job; default: non-inferiority of accuracy.
    policy
        A policy file, to use its gate instead.
    model
        The model, when the policy file has several.
    figure
        NAME=VALUE of the challenger for a floor, such as latency_ms=12; repeat for more.
    worst
        The most slices to list.
    json
        Print the report, as in the tag anew_evaluation.
    """
    asked = _asked(gate, policy, model)
    report = compare(_read(scored), asked, figures=dict(map(_figure, figure or [])), slices_told=worst)
    judged = judge_gate(asked, report)
    if json:
        print(report_text(report))
    else:
        from rich.console import Console

        from anew.cli.gate.picture import show_gate

        unjudged = report.slices.unjudged if report.slices else 0
        show_gate(Console(highlight=False), asked, judged, unjudged=unjudged)
    return 0 if judged.outcome is GateOutcome.PROMOTE else 1


def _asked(gate: str | None, policy: Path | None, model: str | None) -> Gate:
    if gate is not None and policy is not None:
        raise InvalidRequest("give --gate or --policy, not both")
    if policy is None:
        return parse_gate(gate) if gate is not None else Gate(kind="non_inferiority")
    from anew.adapters.policy_folder import load_policy_files

    policies = load_policy_files([policy], check_paths=False)
    if model is None and len(policies.all) != 1:
        raise InvalidRequest(f"{policy} has {len(policies.all)} models; say which by --model")
    return policies.for_model(model or policies.all[0].model).gate


def _figure(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InvalidRequest(f"--figure {text}: give NAME=VALUE, such as latency_ms=12") from None


def _read(path: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError, ImportError) as error:
        raise InvalidTable(f"{path} cannot be read as {path.suffix or 'CSV'}: {error}") from None
