"""All policies together: which one is for this model, and which listen to this monitor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from anew.core.decisions.decide import CompiledPolicy, compile_policy
from anew.core.policies.policy import Policy
from anew.errors import UnknownModel

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Sourced:
    """A policy with where it was read and the SHA-256 of that text in hexadecimal."""

    policy: Policy
    source: str
    sha256: str
    compiled: CompiledPolicy

    @classmethod
    def of(cls, policy: Policy, source: str, sha256: str) -> Self:
        """The policy, compiled once for all decisions to come."""
        return cls(policy, source, sha256, compile_policy(policy))


@dataclass(frozen=True, slots=True)
class Policies:
    """Every policy there is; at most one a model."""

    entries: tuple[Sourced, ...] = ()
    _by_model: Mapping[str, Sourced] = field(init=False, repr=False, compare=False)
    _by_monitor: Mapping[str, tuple[Policy, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_monitor: dict[str, list[Policy]] = {}
        for entry in self.entries:
            for monitor in {name.casefold() for name in entry.policy.monitors}:
                by_monitor.setdefault(monitor, []).append(entry.policy)
        object.__setattr__(self, "_by_model", {entry.policy.model: entry for entry in self.entries})
        object.__setattr__(self, "_by_monitor", {name: tuple(some) for name, some in by_monitor.items()})

    @property
    def all(self) -> tuple[Policy, ...]:
        """The policies, in the order of their sources."""
        return tuple(entry.policy for entry in self.entries)

    def for_model(self, name: str) -> Policy:
        """The policy of this model. Raises UnknownModel, which names the models that have one."""
        return self._entry(name).policy

    def compiled(self, model: str) -> CompiledPolicy:
        """The policy of this model, ready to decide by. Raises UnknownModel."""
        return self._entry(model).compiled

    def for_monitor(self, names: Sequence[str]) -> list[Policy]:
        """The policies that listen to any of these monitors; names are equal when they differ in case only."""
        listening = [policy for name in names for policy in self._by_monitor.get(name.casefold(), ())]
        return list({policy.model: policy for policy in listening}.values())

    def hash_of(self, model: str) -> str:
        """SHA-256 of the policy's text, in hexadecimal. Raises UnknownModel."""
        return self._entry(model).sha256

    def source_of(self, model: str) -> str:
        """The path the policy was read from. Raises UnknownModel."""
        return self._entry(model).source

    def _entry(self, model: str) -> Sourced:
        try:
            return self._by_model[model]
        except KeyError:
            known = sorted(self._by_model)
            shown = ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")
            raise UnknownModel(
                f"no policy is for the model '{model}'; models with a policy: {shown or 'none'}"
            ) from None
