"""The text a v2 model monitor leaves in the tag `azureml_modelmonitor_threshold_breached`.

`evaluate_metrics_threshold.py` in Azure/azureml-assets (model_monitoring components) writes it: a sentence with the
signal's name, then a Python list literal of JSON texts, one for each metric. The service may cut off a long tag, and
the format has changed before, so that a text which cannot be read means "a breach, details unknown".
"""

import ast
import json
from typing import Any, cast

from anew.core.events.event import Breach, Drift
from anew.core.events.fields import finite, storable

_OPENING = "The signal '"
_CLOSING = "' has failed"
_MAX_LITERAL = 500_000  # characters; thousands of features fit, and the literal parser's memory stays bounded


def parse_breach_tag(text: str) -> Drift:
    """The drift that the tag describes: the signal as monitor, and its breaches, none when they cannot be read."""
    _, opened, rest = text.partition(_OPENING)
    signal, closed, listing = rest.partition(_CLOSING)
    if not (opened and closed):
        return Drift(monitor=None, breaches=_breaches(text))
    return Drift(monitor=signal.strip() or None, breaches=_breaches(listing))


def _breaches(text: str) -> tuple[Breach, ...]:
    start, end = text.find("["), text.rfind("]")
    if start < 0 or not 0 < end - start < _MAX_LITERAL:
        return ()
    try:
        literal: object = ast.literal_eval(text[start : end + 1])
        items = cast(list[Any], literal) if isinstance(literal, list) else []
        return tuple(_breach(json.loads(item)) for item in items)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        # All or nothing: a rule that counts features must not count half of them.
        return ()


def _breach(value: object) -> Breach:
    if not isinstance(value, dict):
        raise TypeError("a breach is an object")
    fields = cast(dict[str, Any], value)
    metric, group = fields.get("metric_name"), fields.get("group")
    if not isinstance(metric, str) or not metric:
        raise TypeError("a breach names its metric")
    return Breach(
        metric=storable(metric),
        value=finite(fields.get("metric_value")),
        threshold=finite(fields.get("threshold_value")),
        feature=None if group is None or group == "" else storable(str(group)),
    )
