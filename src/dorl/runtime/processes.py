"""Several processes that do the work of one command together.

`dorl … --processes N` starts them on this machine by torchrun; ``accelerate launch`` and ``torchrun`` start them on one
or many.
Each knows from its environment which one it is. One of them, the main process, talks and writes; the others work in
silence.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dorl.errors import DorlError, InputError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

#: exit status of a process that lost another one; the other's own status says why
LOST = 75
#: seconds that a silent process that failed waits, so that the main one can say why it failed, too
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
    """Run ``python -m dorl words`` as several processes on this machine by torchrun, and wait for them.

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
    InputError
        If `processes` is less than 1, or another than the main process was given wrong input.
    DorlError
        If another than the main process failed, or one was killed.
    """
    if processes < 1:
        raise InputError(f"processes is {processes}: give 1 or more")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    silent = ",".join(f"{number}:3" for number in range(1, processes))
    with tempfile.TemporaryDirectory() as logs, _environment(processes):
        here = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
        streams = ["--redirects", silent or "0", "--log-dir", logs]
        try:
            run(parse_args([*here, *streams, "-m", "dorl", *words]))
        except (KeyboardInterrupt, SignalException):
            return 130
        except ChildFailedError as error:
            statuses = {number: failure.exitcode for number, failure in error.failures.items()}
            return _verdict(statuses, processes, Path(logs))
    return 0


@contextmanager
def _environment(processes: int) -> Iterator[None]:
    """What the processes inherit: their threads share out the cores. torchrun says nothing; `launch` does."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = {"OMP_NUM_THREADS": str(max(1, cores // processes)), SUPERVISED: "1"}
    own = {name: value for name, value in own.items() if name not in os.environ}
    os.environ.update(own)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for name in own:
            del os.environ[name]


def _verdict(statuses: Mapping[int, int], processes: int, logs: Path) -> int:
    """Exit status of a launch, from those of the processes that failed, the first ones first, and what they printed.

    The others were ended by SIGTERM, or lost the one that failed.
    """
    failed = {number: status for number, status in statuses.items() if status not in (LOST, -signal.SIGTERM)}
    failed = failed or dict(statuses)
    killed = {number: status for number, status in failed.items() if status < 0}
    if not killed and 0 in failed:
        return failed[0]
    number, status = next(iter((killed or failed).items()))
    if status < 0:
        name = signal.Signals(-status).name
        why = f"was killed ({name})"
        why += ", which the system does when memory runs out" if name == "SIGKILL" else ""
    else:
        texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs.rglob(f"{number}/stderr.log")]
        printed = [line for text in texts for line in text.splitlines()]
        last = next((line.strip() for line in reversed(printed) if line.strip()), "")
        why = f"failed: {last.removeprefix('dorl: ')}" if last else f"ended with status {status}"
    kind = InputError if status == 2 else DorlError
    raise kind(f"process {number + 1} of {processes} {why}; the same command goes on from the last checkpoint")
