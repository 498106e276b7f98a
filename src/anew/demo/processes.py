"""Child processes: started with a log file each, watched, and stopped together."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from anew.errors import DemoFailed

_STOP_SECONDS = 8.0
_POLL_SECONDS = 0.1


def free_port() -> int:
    """A TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """Named child processes. Leaving the context stops them, newest first, unless `keep` was called."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = {**os.environ, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._kept = False

    def __enter__(self) -> Self:
        # Turn the signal into an exit, which unwinds to here: a terminated demo must not leave its servers behind.
        signal.signal(signal.SIGTERM, _exit)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            for name in reversed(list(self._running)):
                self.stop(name)

    def keep(self) -> None:
        """Leave everything running when the context ends."""
        self._kept = True

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process in a session of its own, so that Ctrl-C reaches the demo first."""
        with self.log_of(name).open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - commands of the demo only
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_listen_to_interrupts,  # noqa: PLW1509 - no thread holds a lock here
            )

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run a process to its end. Raises DemoFailed when it fails."""
        self.start(name, command)
        if self._running.pop(name).wait() != 0:
            raise DemoFailed(f"{name} failed; its log: {self.log_of(name)}")

    def stop(self, name: str) -> None:
        """Stop a process and its children; does nothing when it is not running."""
        process = self._running.pop(name, None)
        if process is None or process.poll() is not None:
            return
        _signal(process, signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()

    def wait_until(self, name: str, ready: Callable[[], bool], what: str, seconds: float = 90) -> None:
        """Wait until the process is ready. Raises DemoFailed when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._running[name].poll() is not None:
                raise DemoFailed(f"{name} ended before {what}; its log: {self.log_of(name)}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} took longer than {seconds:.0f} s; the log of {name}: {self.log_of(name)}")
            time.sleep(_POLL_SECONDS)

    def log_of(self, name: str) -> Path:
        """The file that has the output of a process."""
        return self._logs / f"{name.replace(' ', '-')}.log"

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self._running.items()}


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _listen_to_interrupts() -> None:
    # A background process of a shell ignores SIGINT, and its children inherit that. A Prefect worker, which turns
    # SIGTERM into SIGINT, would then never stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
