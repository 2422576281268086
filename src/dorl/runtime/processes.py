"""Several processes that do the work of one command together.

`dorl … --processes N` starts them on this machine; ``accelerate launch`` and ``torchrun`` start them on one or many.
Each knows from its environment which one it is. One of them, the main process, talks and writes; the others work in
silence.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any, TypeVar

from dorl.errors import DorlError, InputError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

#: exit status of a process that lost another one; the other's own status says why
LOST = 75
#: seconds that the others have to end by themselves once one has failed
GRACE = 2.0
#: set by `launch`, which says itself what became of a process
SUPERVISED = "DORL_SUPERVISED"
#: a process may wait this long for another that trains classifiers
PATIENCE = timedelta(days=7)


def count() -> int:
    """How many processes do this work; 1 unless something started more."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def several() -> bool:
    """Whether there is more than one."""
    return count() > 1


def is_main() -> bool:
    """Whether this is the one that talks and writes."""
    return rank() == 0


def connect(name: str | None = None) -> torch.device:
    """Meet the other processes, and say which device is this one's.

    Parameters
    ----------
    name : str, optional
        "cpu" or "cuda"; a GPU a process where there are any, by default.

    Raises
    ------
    InputError
        If there are more processes than GPUs.
    """
    import torch
    from accelerate import PartialState

    cpu = name == "cpu" or not torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", count()))
    if not cpu and local > torch.cuda.device_count():
        raise InputError(
            f"{local} processes and {torch.cuda.device_count()} GPU here: give fewer --processes, or --device cpu"
        )
    return PartialState(cpu=cpu, timeout=PATIENCE).device


def wait() -> None:
    """Until all processes are here; nothing where there is one."""
    if several():
        connected().wait_for_everyone()


def in_turn(main: Callable[[], T], others: Callable[[], T]) -> T:
    """What `main` gives in the main process, and what `others` gives, once that is done, in each other one."""
    if is_main():
        found = main()
        wait()
        return found
    wait()
    return others()


def connected() -> Any:
    """The processes as accelerate knows them, once `connect` was called."""
    from accelerate import PartialState

    return PartialState()


def gathered(value: T) -> list[T]:
    """What each process gives, in their order; in one process just that."""
    if not several():
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])


def share(items: Sequence[T], size: int) -> list[T]:
    """Take this process's part of `items`: every N-th batch of `size`, so that batches are those of one process."""
    starts = range(rank() * size, len(items), count() * size)
    return [item for start in starts for item in items[start : start + size]]


def lost_another(error: BaseException) -> bool:
    """Whether an error means that another process has ended while this one waited for it."""
    if not several() or not isinstance(error, RuntimeError) or isinstance(error, DorlError):
        return False
    text = str(error)
    return any(word in text for word in ("Connection closed by peer", "Connection reset", "gloo", "NCCL", "TCPStore"))


def launch(words: Sequence[str], processes: int) -> int:
    """Run ``python -m dorl words`` as several processes on this machine, and wait for them.

    When one fails the others are ended: their work up to the last checkpoint is kept. So they are when this process is
    told to end, by Ctrl-C or otherwise.

    Parameters
    ----------
    words : sequence of str
        The command line behind ``dorl``.
    processes : int
        How many.

    Returns
    -------
    int
        Exit status: 0 when all have done their part, else that of the main process, which has said why.

    Raises
    ------
    DorlError
        If another than the main process failed, or one was killed.
    """
    if processes < 1:
        raise InputError(f"processes is {processes}: give 1 or more")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said, _ended_as_by_ctrl_c():
        port = _free_port()
        running = [_start(words, number, processes, port, said) for number in range(processes)]
        try:
            while all(process.poll() in (None, 0) for process in running) and any(p.poll() is None for p in running):
                time.sleep(0.1)
            _wait(running, GRACE)
        except KeyboardInterrupt:
            _end(running, signal.SIGINT)
            return 130
        finally:
            statuses = [process.poll() or 0 for process in running]  # of those that ended by themselves
            _end(running, signal.SIGTERM)
        said.seek(0)
        last = next((line.strip() for line in reversed(said.readlines()) if line.strip()), "")
    return _verdict(statuses, last)


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Take the signals that end a process as Ctrl-C: the processes it has started would run on without it."""
    if threading.current_thread() is not threading.main_thread():  # signals are for the main thread alone
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    ending = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(words: Sequence[str], number: int, processes: int, port: int, said: IO[str]) -> subprocess.Popen[str]:
    own = {
        "RANK": number,
        "LOCAL_RANK": number,
        "WORLD_SIZE": processes,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        SUPERVISED: 1,
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": str(max(1, cores // processes))}
    environment = {**threads, **os.environ, **{name: str(value) for name, value in own.items()}}
    quiet = None if number == 0 else said
    # a session of its own: Ctrl-C reaches it once, from here
    return subprocess.Popen(
        [sys.executable, "-m", "dorl", *words],
        env=environment,
        stdout=quiet,
        stderr=quiet,
        text=True,
        start_new_session=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(running: Sequence[subprocess.Popen[str]], patience: float) -> None:
    """Until all have ended, or this many seconds."""
    until = time.monotonic() + patience
    while any(process.poll() is None for process in running) and time.monotonic() < until:
        time.sleep(0.05)


def _end(running: Sequence[subprocess.Popen[str]], kindly: signal.Signals) -> None:
    """End those that still run, first kindly; Windows knows no kind way."""

    def ask(process: subprocess.Popen[str]) -> None:
        if os.name == "posix":
            process.send_signal(kindly)
        else:
            process.terminate()

    for end, patience in ((ask, 10 * GRACE), (subprocess.Popen.kill, GRACE)):
        for process in running:
            if process.poll() is None:
                end(process)
        _wait(running, patience)


def _verdict(statuses: Sequence[int], last: str) -> int:
    """Exit status of a launch, from those of its processes and the last line of a silent one."""
    failed = {number: status for number, status in enumerate(statuses) if status not in (0, LOST)}
    failed = failed or {number: status for number, status in enumerate(statuses) if status}
    killed = {number: status for number, status in failed.items() if status < 0}
    if not failed or (not killed and 0 in failed):
        return failed.get(0, 0)
    number, status = next(iter((killed or failed).items()))
    if status < 0:
        name = signal.Signals(-status).name
        why = f"was killed ({name})"
        why += ", which the system does when memory runs out" if name == "SIGKILL" else ""
    else:
        why = f"failed: {last.removeprefix('dorl: ')}" if last else f"ended with status {status}"
    kind = InputError if status == 2 else DorlError
    raise kind(f"process {number + 1} of {len(statuses)} {why}; the same command goes on from the last checkpoint")
