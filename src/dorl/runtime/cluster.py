"""Parts of some work done by a Ray cluster: actors make what they need once, and do one part after the other.

Ray is imported here alone, and only when it is asked for: ``pip install 'dorl[ray]'``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dorl.errors import DorlError, InputError
from dorl.runtime.progress import track

T = TypeVar("T")

#: cores of an actor, where a machine has as many; one on a machine with GPUs has a GPU
CORES = 4
#: an actor that died is started again so often, and what it was doing is done again
RESTARTS = 3
#: variables that actors take over from this process
HANDED_ON = ("DORL_CACHE", "DORL_WEIGHTS")
#: fewest parts that work is divided into, where it can be, and inputs of a part at most
PARTS, INPUTS = 16, 512


def parts_for(inputs: int, batches: int) -> int:
    """Into how many parts some inputs are divided, which are done in so many batches; the same for every cluster."""
    return max(1, min(batches, max(PARTS, -(-inputs // INPUTS))))


def over_cluster(
    address: str, make: Callable[[], Callable[[T], object]], parts: Sequence[T], *, what: str = "parts on the cluster"
) -> None:
    """Do every part of some work on a Ray cluster, in any order; each leaves what it makes on a disk that all share.

    Where an actor dies, Ray starts it again, and it does its part again.

    Parameters
    ----------
    address : str
        Of the cluster, for example ``ray://host:10001`` or ``host:6379``; ``"auto"`` for that of this machine.
    make : callable
        Called once in each actor, in the folder that this process is in; gives what does a part. Importable, or to be
        pickled.
    parts : sequence
        To be pickled.
    what : str
        For the progress.

    Raises
    ------
    InputError
        If Ray isn't installed, no cluster has this address, or a worker was given wrong input.
    DorlError
        If a worker failed, or died more often than `RESTARTS`.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed: pip install 'dorl[ray]', or use --shard without it") from error
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"no Ray cluster at {address!r}: start one with ray start --head, or give the address of one"
            ) from error
    try:
        _work(ray, make, parts, what)
    finally:
        if started:
            ray.shutdown()


def _work(ray: Any, make: Callable[[], Callable[[T], object]], parts: Sequence[T], what: str) -> None:
    count, options = _actors([node["Resources"] for node in ray.nodes() if node["Alive"]])
    remote = ray.remote(**options)(_Actor)
    variables = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    actors = [remote.remote(make, Path.cwd().as_posix(), variables) for _ in range(min(count, len(parts)))]
    # an actor that waits for its place, or starts, holds no part
    waiting: dict[Any, tuple[Any, T | None]] = {actor.ready.remote(): (actor, None) for actor in actors}
    left = list(reversed(parts))

    def finished() -> Any:
        """The parts that are done, one by one."""
        done = 0
        while done < len(parts):
            (reference,), _ = ray.wait(list(waiting), num_returns=1)
            actor, part = waiting.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                cause = error.cause
                if isinstance(cause, DorlError):
                    raise cause from None
                raise DorlError(f"a worker failed: {type(cause).__name__}: {cause}") from error
            except ray.exceptions.RayActorError as error:
                raise DorlError(
                    f"a worker is gone, or died {RESTARTS + 1} times, perhaps since memory ran out; the same command "
                    "goes on with what is left"
                ) from error
            if part is not None:
                done += 1
                yield part
            if left:
                following = left.pop()
                waiting[actor.do.remote(following)] = (actor, following)

    for _ in track(finished(), total=len(parts), what=what):
        pass


def _actors(machines: Sequence[dict[str, float]]) -> tuple[int, dict[str, Any]]:
    """How many actors machines of such resources can hold, and what Ray is told of each."""
    common = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS, "scheduling_strategy": "SPREAD"}
    if gpus := sum(int(machine.get("GPU", 0)) for machine in machines):
        return gpus, {**common, "num_gpus": 1, "num_cpus": 1}
    cores = [int(machine.get("CPU", 0)) for machine in machines]
    each = min([CORES, *(count for count in cores if count)])
    return max(1, sum(count // each for count in cores)), {**common, "num_cpus": each}


class _Actor:
    """What does parts, on one of the cluster's machines; it makes what it needs when it is first asked."""

    def __init__(self, make: Callable[[], Callable[[Any], object]], folder: str, variables: Mapping[str, str]) -> None:
        os.environ.update(variables)
        self._make, self._folder = make, folder
        self._do: Callable[[Any], object] | None = None

    def ready(self) -> None:
        """Answered once the actor has its place and what it needs."""
        if self._do is None:
            try:
                os.chdir(self._folder)
            except OSError as error:
                raise InputError(
                    f"{self._folder} isn't there on {socket.gethostname()}: all machines need the folder that the "
                    "command is given in, on a disk that they share"
                ) from error
            self._do = self._make()

    def do(self, part: Any) -> None:
        """Do a part."""
        self.ready()
        assert self._do is not None
        self._do(part)
