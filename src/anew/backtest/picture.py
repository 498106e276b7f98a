"""Accuracy against the number of retrainings: every policy at every cost, under the oracle's curve."""

import base64
import html
from io import BytesIO
from pathlib import Path
from typing import Any

from anew.backtest.contest import HINDSIGHT, ORACLE, Report


def save_png(report: Report, path: Path) -> None:
    """Write the picture."""
    path.write_bytes(_png(report))


def save_html(report: Report, path: Path) -> None:
    """Write one page with the picture and the table, which needs nothing else."""
    image = base64.b64encode(_png(report)).decode()
    rows = "".join(
        f"<tr><td>{html.escape(score.policy)}</td><td>{score.cost:g}</td><td>{score.accuracy:.4f}</td>"
        f"<td>{score.retrains:g}</td><td>{score.needless:g}</td><td>{score.total_cost:.3f}</td>"
        f"<td>{score.excess_cost:.3f}</td></tr>"
        for score in report.scores
    )
    head = "".join(
        f"<th>{name}</th>" for name in ("policy", "λ", "accuracy", "retrains", "needless", "cost", "excess cost")
    )
    title = f"Backtest of {html.escape(report.stream)}"
    style = "body{font-family:sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}"
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f'<h1>{title}</h1><img alt="accuracy against retrainings" src="data:image/png;base64,{image}">'
        f"<table><tr>{head}</tr>{rows}</table></html>\n",
        encoding="utf-8",
    )


def _png(report: Report) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    reached = report.oracle_accuracies
    axes.plot(range(len(reached)), reached, color="black", linewidth=1, label="oracle, by number of retrainings")
    for number, name in enumerate(name for name in report.policies if name not in (ORACLE, HINDSIGHT)):
        scores = sorted(report.of(name), key=lambda score: score.retrains)
        axes.plot(
            [score.retrains for score in scores],
            [score.accuracy for score in scores],
            marker="osD^v<>Pp*hX"[number % 12],
            linestyle=":",
            label=f"{name} (excess {report.excess(name):.1f})",
        )
    axes.set(xlabel="retrainings", ylabel="accuracy", title=f"{report.stream}: each point is one cost of retraining")
    axes.set_xscale("symlog", linthresh=5)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    image = BytesIO()
    figure.savefig(image, dpi=130)
    return image.getvalue()
