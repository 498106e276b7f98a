"""All policies together: which one is for this model, and which listen to this monitor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from anew.core.decide import CompiledPolicy, compile_policy
from anew.core.policy import Policy
from anew.errors import UnknownModel


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
        wanted = {name.casefold() for name in names}
        return [policy for policy in self.all if any(monitor.casefold() in wanted for monitor in policy.monitors)]

    def hash_of(self, model: str) -> str:
        """SHA-256 of the policy's text, in hexadecimal. Raises UnknownModel."""
        return self._entry(model).sha256

    def source_of(self, model: str) -> str:
        """The path the policy was read from. Raises UnknownModel."""
        return self._entry(model).source

    def _entry(self, model: str) -> Sourced:
        for entry in self.entries:
            if entry.policy.model == model:
                return entry
        known = ", ".join(sorted(entry.policy.model for entry in self.entries)) or "none"
        raise UnknownModel(f"no policy is for the model '{model}'; models with a policy: {known}")
