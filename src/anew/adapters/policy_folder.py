"""Policies from a folder of YAML files: the only place that reads them, and checks the files they point to."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from anew.core.base.document import Document
from anew.core.decisions.policy_set import Policies, Sourced
from anew.core.policies.deploy import Deploy
from anew.core.policies.evidence import DriftOfWindow, EvidenceSpec, GainOfRetraining
from anew.core.policies.places import Placed, overlay
from anew.core.policies.policy import AzureMLLauncher, Policy
from anew.core.policies.text import PolicyText, read_defaults, read_policies
from anew.errors import InvalidPolicy

DocumentT = TypeVar("DocumentT", bound=Document)

DEFAULTS = ("default.yaml", "default.yml")
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    raw: bytes


_Found = tuple[PolicyText, Sourced]


class PolicyFolder:
    """The policies of a folder, read again when a file in it has changed. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: tuple[object, Policies] | None = None

    def current(self) -> Policies:
        """The policies as they are now. Raises InvalidPolicy."""
        stamp = _stamp(self._folder)
        if stamp is None or self._read is None or self._read[0] != stamp:
            self._read = (stamp, load_policies(self._folder))
        return self._read[1]


def _stamp(folder: Path) -> frozenset[tuple[str, int, int]] | None:
    # Called for each flow run, and a folder may hold a thousand policies: no Path is made for each.
    try:
        return frozenset((file.name, (known := file.stat()).st_mtime_ns, known.st_size) for file in _yaml_files(folder))
    except OSError:
        return None  # reading the policies reports the reason


def _yaml_files(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.name.endswith(_SUFFIXES) and entry.is_file()]


def load_policies(folder: Path) -> Policies:
    """Every `*.yaml` and `*.yml` directly in the folder, laid over its `default.yaml`, paths made absolute.

    Raises InvalidPolicy with the problems of all files at once; a folder without a policy is a problem too.
    """
    files = [file for file in policy_files(folder) if file.name not in DEFAULTS]
    return load_policy_files(files)


def load_policy_files(files: Sequence[Path], base: Placed | None = None, *, check_paths: bool = True) -> Policies:
    """The policies of these files, each laid over the `default.yaml` beside it, and over *base* below that.

    `check_paths=False` does not check the files that policies point to: a replay needs none. Raises InvalidPolicy.
    """
    problems: list[str] = []
    found: list[_Found] = []
    for file in files:
        try:
            found += _load(file, base, check_paths=check_paths)
        except InvalidPolicy as error:
            problems += error.problems
    problems += _duplicates(found)
    if problems:
        raise InvalidPolicy(tuple(dict.fromkeys(problems)))
    return Policies(tuple(entry for _, entry in found))


def read_defaults_file(path: Path) -> Placed:
    """A `default.yaml`. Raises InvalidPolicy."""
    return read_defaults(_read(path).text, str(path))


def policy_files(folder: Path) -> list[Path]:
    """The YAML files directly in the folder, including its defaults. Raises InvalidPolicy if there is no policy."""
    if not folder.is_dir():
        raise InvalidPolicy((f"{folder}: there is no such folder",))
    try:
        files = sorted(Path(file) for file in _yaml_files(folder))
    except OSError as error:
        raise InvalidPolicy((f"{folder}: cannot be listed: {error.strerror}",)) from error
    if not any(file.name not in DEFAULTS for file in files):
        raise InvalidPolicy((f"{folder}: no policy (*.yaml, *.yml) is in this folder",))
    return files


def _load(path: Path, base: Placed | None, *, check_paths: bool) -> list[_Found]:
    file, defaults = _read(path), _defaults_beside(path)
    below = base if defaults is None else defaults[1] if base is None else overlay(base, defaults[1])
    # A decision depends on the file and on the defaults below it.
    digest = hashlib.sha256(file.raw + (defaults[0].raw if defaults else b"")).hexdigest()
    found = read_policies(file.text, str(path), below)
    if not check_paths:
        return [(parsed, Sourced.of(parsed.policy, str(path), digest)) for parsed in found]
    problems: list[str] = []
    entries: list[_Found] = []
    for parsed in found:
        try:
            entries.append((parsed, Sourced.of(_with_absolute_paths(parsed, path.parent), str(path), digest)))
        except InvalidPolicy as error:
            problems += error.problems
    if problems:
        raise InvalidPolicy(tuple(problems))
    return entries


def _defaults_beside(path: Path) -> tuple[_File, Placed] | None:
    for name in DEFAULTS:
        beside = path.parent / name
        if path.name not in DEFAULTS and beside.is_file():
            file = _read(beside)
            return file, read_defaults(file.text, str(beside))
    return None


def _read(path: Path) -> _File:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidPolicy((f"{path}: cannot be read: {error.strerror}",)) from error
    try:
        return _File(path, raw.decode("utf-8-sig"), raw)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidPolicy((f"{path}:{line}: is not UTF-8 text: byte {error.start}",)) from error


def _duplicates(found: Sequence[_Found]) -> Iterator[str]:
    first: dict[str, str] = {}
    for parsed, entry in found:
        model = entry.policy.model
        if model in first:
            yield parsed.problem(("model",), f"'{model}' already has a policy in {first[model]}")
        first.setdefault(model, entry.source)


# --- files a policy points to -----------------------------------------------------------------------------


class _Resolver:
    """Resolves one policy's paths and collects those that do not exist."""

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
    evaluate = policy.evaluate
    if evaluate.job is not None:
        evaluate = _with(evaluate, {"job": resolver.file(evaluate.job, "evaluate", "job")})
    deploy = tuple(_with_absolute_code(rule, index, resolver) for index, rule in enumerate(policy.deploy))
    if resolver.problems:
        raise InvalidPolicy(tuple(resolver.problems))
    retrain = _with(policy.retrain, {"launcher": launcher})
    sources = tuple(_with_absolute_data(source, folder) for source in policy.evidence.sources)
    evidence = _with(policy.evidence, {"sources": sources})
    return _with(policy, {"evidence": evidence, "retrain": retrain, "evaluate": evaluate, "deploy": deploy})


def _with_absolute_data(source: EvidenceSpec, folder: Path) -> EvidenceSpec:
    # Data files may come and go: each decision checks whether they exist.
    if isinstance(source, GainOfRetraining):
        return _with(source, {"data": _absolute(source.data, folder)})
    if not isinstance(source, DriftOfWindow):
        return source
    return _with(source, {"reference": _absolute(source.reference, folder), "window": _absolute(source.window, folder)})


def _absolute(text: str, folder: Path) -> str:
    return text if "://" in text else str((folder / text).resolve())


def _with_absolute_code(rule: Deploy, index: int, resolver: _Resolver) -> Deploy:
    if rule.code is None or rule.scoring_script is None:
        return rule
    code = resolver.folder(rule.code, "deploy", index, "code")
    resolver.file(f"{rule.code}/{rule.scoring_script}", "deploy", index, "scoring_script")
    return _with(rule, {"code": code})


def _with(document: DocumentT, changes: Mapping[str, Any]) -> DocumentT:
    return document.model_copy(update=changes)
