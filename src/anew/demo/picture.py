"""The accuracy of a model over the weeks, with its drift events, the retraining and the deployment."""

from collections.abc import Sequence
from pathlib import Path

from anew.demo.scenario import Week


def save_picture(weeks: Sequence[Week], title: str, path: Path) -> None:
    """Draw to a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    for version in dict.fromkeys(week.version for week in weeks):
        served = [week for week in weeks if week.version == version]
        axes.plot([w.number for w in served], [w.accuracy for w in served], marker="o", label=f"version {version}")
    others = [week for week in weeks if week.decision and week.decision != "retrain"]
    axes.scatter(
        [w.number for w in others],
        [w.accuracy for w in others],
        s=140,
        facecolors="none",
        edgecolors="grey",
        label="drift event, no retraining",
    )
    for week in weeks:
        if week.decision == "retrain":
            axes.axvline(week.number, color="tab:red", linestyle="--", label="drift event, retrain")
            axes.axvline(week.number + 0.5, color="tab:green", linestyle="--", label="new version live")
    axes.set(title=title, xlabel="batch", ylabel="accuracy in production", ylim=(0.5, 1.0))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small", ncols=2)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_picture(weeks: Sequence[Week], title: str, width: int) -> str:
    """Draw with characters, for a terminal of this width."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(min(width, 100), 18)
    for version in dict.fromkeys(week.version for week in weeks):
        served = [week for week in weeks if week.version == version]
        plotext.plot(
            [w.number for w in served], [w.accuracy for w in served], marker="braille", label=f"version {version}"
        )
    for week in weeks:
        if week.decision == "retrain":
            plotext.vline(week.number + 0.5)
            plotext.text("retrained, live", week.number + 0.7, 0.97)
    plotext.ylim(0.5, 1.0)
    plotext.title(title)
    plotext.xlabel("batch")
    # The theme `clear` still ends lines in a reset code, which a plain terminal or a log would show.
    return str(plotext.uncolorize(plotext.build()))
