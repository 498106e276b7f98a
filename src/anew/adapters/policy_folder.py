"""Policies from a folder of YAML files: the only place that reads them, and checks the files they point to."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from anew.core.policies import Policies, Sourced
from anew.core.policy import AzureMLLauncher, Deploy, Document, Policy
from anew.core.policy_text import PolicyText, read_policy
from anew.errors import InvalidPolicy

DocumentT = TypeVar("DocumentT", bound=Document)

_SUFFIXES = frozenset({".yaml", ".yml"})


def load_policies(folder: Path) -> Policies:
    """Every `*.yaml` and `*.yml` directly in the folder, its paths made absolute.

    Raises InvalidPolicy with the problems of all files at once; a folder without a policy is a problem too.
    """
    files = _files(folder)
    problems: list[str] = []
    entries: list[Sourced] = []
    for file in files:
        try:
            entries.append(_load(file))
        except InvalidPolicy as error:
            problems += error.problems
    problems += _doubles(entries)
    if problems:
        raise InvalidPolicy(tuple(problems))
    return Policies(tuple(entries))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidPolicy((f"{folder}: there is no such folder",))
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    except OSError as error:
        raise InvalidPolicy((f"{folder}: cannot be listed: {error.strerror}",)) from error
    if not files:
        raise InvalidPolicy((f"{folder}: no policy (*.yaml, *.yml) is in this folder",))
    return files


def _load(file: Path) -> Sourced:
    try:
        raw = file.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise InvalidPolicy((f"{file}: cannot be read: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise InvalidPolicy((f"{file}: is not UTF-8 text: byte {error.start}",)) from error
    parsed = read_policy(text, str(file))
    return Sourced(_with_absolute_paths(parsed, file.parent), str(file), hashlib.sha256(raw).hexdigest())


def _doubles(entries: list[Sourced]) -> Iterator[str]:
    first: dict[str, str] = {}
    for entry in entries:
        model = entry.policy.model
        if model in first:
            yield f"{entry.source}: model: '{model}' already has a policy in {first[model]}"
        first.setdefault(model, entry.source)


# --- files a policy points to -----------------------------------------------------------------------------


class _Resolver:
    """Resolves one policy's paths and collects those that lead nowhere."""

    def __init__(self, parsed: PolicyText, folder: Path) -> None:
        self._parsed = parsed
        self._folder = folder
        self.problems: list[str] = []

    def file(self, text: str, *path: str | int) -> str:
        return self._checked(text, path, is_folder=False)

    def folder(self, text: str, *path: str | int) -> str:
        return self._checked(text, path, is_folder=True)

    def _checked(self, text: str, path: tuple[str | int, ...], *, is_folder: bool) -> str:
        try:
            resolved = (self._folder / text).resolve()
            found = resolved.is_dir() if is_folder else resolved.is_file()
        except (OSError, ValueError):  # such as a name that is too long, or that holds a NUL
            resolved, found = self._folder, False
        if not found:
            kind = "folder" if is_folder else "file"
            self.problems.append(self._parsed.problem(path, f"there is no {kind} {text!r} (from {self._folder})"))
        return str(resolved)


def _with_absolute_paths(parsed: PolicyText, folder: Path) -> Policy:
    policy, resolver = parsed.policy, _Resolver(parsed, folder)
    launcher = policy.retrain.launcher
    if isinstance(launcher, AzureMLLauncher):
        launcher = _with(launcher, {"job": resolver.file(launcher.job, "retrain", "launcher", "job")})
    evaluate = _with(policy.evaluate, {"job": resolver.file(policy.evaluate.job, "evaluate", "job")})
    deploy = tuple(_absolute_code(rule, index, resolver) for index, rule in enumerate(policy.deploy))
    if resolver.problems:
        raise InvalidPolicy(tuple(resolver.problems))
    retrain = _with(policy.retrain, {"launcher": launcher})
    return _with(policy, {"retrain": retrain, "evaluate": evaluate, "deploy": deploy})


def _absolute_code(rule: Deploy, index: int, resolver: _Resolver) -> Deploy:
    if rule.code is None or rule.scoring_script is None:
        return rule
    code = resolver.folder(rule.code, "deploy", index, "code")
    resolver.file(f"{rule.code}/{rule.scoring_script}", "deploy", index, "scoring_script")
    return _with(rule, {"code": code})


def _with(document: DocumentT, changes: Mapping[str, Any]) -> DocumentT:
    return document.model_copy(update=changes)
