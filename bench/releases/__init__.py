"""200 releases through anew, beside the same ones through naive rivals. `python -m bench releases`."""
