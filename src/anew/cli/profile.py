"""`anew profile`."""

from pathlib import Path

from anew.cli.output import print_json


def profile(reference: str, out: Path, *, json: bool = False) -> None:
    """Store the profile of reference rows, without the rows themselves. Drift is measured against it.

    Parameters
    ----------
    reference
        A Parquet or CSV file of the rows the model was trained on.
    out
        The file to write, for the evidence of a policy (kind: drift, reference: ...). It holds quantiles and
        categories of each column: protect it like the data.
    json
        Print one JSON object.
    """
    from anew.adapters.evidence.window_drift import write_profile

    stored = write_profile(reference, out)
    features = {name: type(feature).__name__ for name, feature in stored.features}
    if json:
        print_json({"profile": out, "features": features})
    else:
        print(f"{out}: {len(features)} features of {reference}")
