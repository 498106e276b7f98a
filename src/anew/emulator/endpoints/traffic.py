"""How an endpoint shares its requests among deployments. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from anew.emulator.arm.protocol import user_error

FULL: Final = 100
MIRROR_LIMIT: Final = 50
# Coprime with 100, so that 100 consecutive requests visit every percent once, well spread.
_STRIDE: Final = 37


def check_traffic(traffic: Mapping[str, int], deployments: Collection[str]) -> None:
    """Refuse a split that names unknown deployments or does not sum to 0 or 100.

    Raises:
        ArmError: 400 that says what is wrong.
    """
    unknown = sorted(name for name in traffic if name not in deployments)
    if unknown:
        raise user_error(f"The traffic names deployments that do not exist: {', '.join(unknown)}.")
    if any(not 0 <= share <= FULL for share in traffic.values()):
        raise user_error("Every share of the traffic must be between 0 and 100 percent.")
    if sum(traffic.values()) not in {0, FULL}:
        raise user_error(f"The traffic must sum to 0 or 100 percent, not {sum(traffic.values())}.")


def check_mirror(mirror: Mapping[str, int], traffic: Mapping[str, int], deployments: Collection[str]) -> None:
    """Refuse mirrored traffic beyond Azure ML's documented limits: one deployment, at most 50 percent, none live.

    Raises:
        ArmError: 400 that says what is wrong.
    """
    active = {name: share for name, share in mirror.items() if share}
    if unknown := sorted(name for name in active if name not in deployments):
        raise user_error(f"The mirror traffic names deployments that do not exist: {', '.join(unknown)}.")
    if len(active) > 1:
        raise user_error("Traffic can be mirrored to one deployment only.")
    if any(not 0 < share <= MIRROR_LIMIT for share in active.values()):
        raise user_error(f"At most {MIRROR_LIMIT} percent of the traffic can be mirrored.")
    if any(traffic.get(name) for name in active):
        raise user_error("A deployment cannot take live and mirrored traffic at once.")


def choose(traffic: Mapping[str, int], request_number: int) -> str | None:
    """The deployment for the n-th request: any 100 requests in a row are shared exactly as the split says."""
    percent = request_number * _STRIDE % FULL
    for name in sorted(traffic):
        percent -= traffic[name]
        if percent < 0:
            return name
    return None
