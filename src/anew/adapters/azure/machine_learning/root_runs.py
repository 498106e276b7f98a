"""The root runs of some experiments of a workspace, found by listing only the runs that are new since the last call.

Azure ML's list of jobs has no filter by experiment and comes in short pages, newest first. In a workspace with many
trainings, listing all of them in every tick would use up the quota of reads.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from azure.ai.ml.entities import Job

_READ_AT_MOST = 50  # runs in one call, with one read each
_KNOWN_IN_A_ROW = 40  # more than a page: then the following runs were listed before


Watched = Callable[[Job, frozenset[str]], bool]
"""Whether a root run belongs to one of these names."""


class RootRuns:
    """Remembers the runs it listed, for one set of names and since one moment. One thread at a time may use it."""

    def __init__(self, is_watched: Watched) -> None:
        self._is_watched = is_watched
        self._watched: frozenset[str] = frozenset()
        self._since = datetime.max.replace(tzinfo=UTC)
        self._listed: dict[str, datetime] = {}
        self._found: dict[str, Job] = {}

    def look(
        self, newest_first: Iterator[Job], read: Callable[[str], Job | None], watched: frozenset[str], since: datetime
    ) -> list[Job]:
        """The *watched* root runs created at *since* or later. New runs come from the list; of those that had not
        ended, some are read again; those that had ended do not change.
        """
        if watched != self._watched or since < self._since:
            self._watched, self._since = watched, since
            self._listed, self._found = {}, {}
        fresh = self._list_new(newest_first, since)
        unended = [name for name, root in self._found.items() if name not in fresh and not has_ended(root)]
        for name in unended[:_READ_AT_MOST]:
            # It moves to the end, so that the next call reads others.
            root = self._found.pop(name)
            self._found[name] = read(name) or root
        for name in [name for name, at in self._listed.items() if at < since]:
            del self._listed[name]
            self._found.pop(name, None)
        return list(self._found.values())

    def _list_new(self, newest_first: Iterator[Job], since: datetime) -> set[str]:
        # Of unwatched runs only the name is kept: thousands of the SDK's jobs take a hundred megabytes.
        fresh: dict[str, datetime] = {}
        found: dict[str, Job] = {}
        known_in_a_row = 0
        for root in newest_first:
            name, at = str(root.name), created(root)
            if (at is not None and at < since) or known_in_a_row >= _KNOWN_IN_A_ROW:
                break
            known_in_a_row = known_in_a_row + 1 if name in self._listed else 0
            fresh[name] = at or since
            if self._is_watched(root, self._watched):
                found[name] = root
        # Saved only here: a listing that broke off must start again from its beginning.
        self._listed |= fresh
        self._found |= found
        return set(fresh)


def is_monitor(job: Job, watched: frozenset[str]) -> bool:
    """Whether this may be the root run of a watched monitor.

    A policy names the monitor or one of its signals, and a signal's name begins with its monitor's
    (`{monitor}_{signal}`), so either name may contain the other.
    """
    names = {str(job.experiment_name or "").casefold(), str(job.display_name or "").casefold()} - {""}
    return any(name in monitor or monitor in name for name in names for monitor in watched)


def is_in_experiment(job: Job, watched: frozenset[str]) -> bool:
    """Whether this is the root run of one of these experiments."""
    return job.experiment_name in watched


def has_ended(job: Job) -> bool:
    """Whether the run has ended, so that it does not change again."""
    return job.status in {"Completed", "Failed", "Canceled"}


def created(job: Job) -> Any:
    """When the run was created, or None if that is not known."""
    context = job.creation_context
    return context.created_at if context else None
