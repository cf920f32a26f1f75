"""A run's shards as tasks of a Ray cluster: each asks its part on some node, and hands its database back.

Nodes need bitproof and the artifacts at the same paths (a shared file system, or one image). A task that is lost with
its node is given to another; shards that came back are kept, so that a run that is begun again submits only the others.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bitproof.errors import BitproofError, EnvironmentFailed
from bitproof.evaluate.hosts import Host, HostName, open_host
from bitproof.evaluate.plan import Plan
from bitproof.evaluate.runner import Budget
from bitproof.evaluate.shards import Shard, ask_shard, shard_folder
from bitproof.store.files import write_aside
from bitproof.store.runs import FILE
from bitproof.types import Progress

__all__ = ["Work", "ask_on_ray"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every task opens for itself: paths and names, no tensors."""

    engine: HostName
    model: str
    artifacts: tuple[Path, ...]
    plan: Plan
    budget: Budget | None = None
    workers: int | None = None
    trust_remote_code: bool = False

    def open(self) -> Host:
        """The host of this work, on this machine."""
        from bitproof.models import load
        from bitproof.quantize.artifact import read_artifact

        reference = load(self.model, trust_remote_code=self.trust_remote_code)
        return open_host(self.engine, reference, [read_artifact(path) for path in self.artifacts], workers=self.workers)


def ask_on_ray(
    work: Work, *, out: Path, address: str, n_shards: int | None = None, progress: Progress | None = None
) -> list[Path]:
    """Ask all shards that `out` does not hold yet; gives their folders. `evaluate` in `out` puts them together.

    `address` is HOST:PORT of a running cluster, or "auto" on one of its nodes; `n_shards` defaults to its CPUs over the
    threads of this process. Raises EnvironmentFailed where the cluster cannot be reached or a task is lost for good,
    and what `ask_shard` raises.
    """
    import ray
    import torch

    threads = torch.get_num_threads()  # the same everywhere: they move the last bits of an answer
    with _connected(address):
        n = n_shards or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)  # type: ignore[no-untyped-call]
        shards = [(number, n) for number in range(1, n + 1)]
        task = ray.remote(num_cpus=threads, max_retries=2)(_ask)
        missing = [shard for shard in shards if not (shard_folder(out, shard) / FILE).exists()]
        running = {task.remote(work, shard, threads): shard for shard in missing}
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            write_aside(shard_folder(out, running.pop(done)) / FILE, partial(Path.write_bytes, data=_result(done)))
            if progress:
                progress(len(shards) - len(running), len(shards), f"{n} shards")
    return [shard_folder(out, shard) for shard in shards]


def _ask(work: Work, shard: Shard, threads: int) -> bytes:
    """One shard's database. Runs on a node."""
    import torch

    torch.set_num_threads(threads)  # Ray gives its workers one
    with tempfile.TemporaryDirectory(prefix="bitproof-") as folder:
        asked = ask_shard(work.open(), work.plan, out=Path(folder), shard=shard, budget=work.budget)
        return (asked / FILE).read_bytes()


def _result(task: Any) -> bytes:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        found: bytes = ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, BitproofError):
            raise error.cause from None
        raise
    except RayError as error:
        first = str(error).strip().partition("\n")[0]
        raise EnvironmentFailed(
            f"a task of the Ray cluster was lost ({first})",
            remedy="Run the same command again: shards that came back are kept.",
        ) from error
    return found


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster, for as long as it is needed."""
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EnvironmentFailed(
            f"no Ray cluster is reached ({str(error).strip().partition(chr(10))[0]})",
            where=f"--ray {address}",
            remedy="Start one with ray start --head, and give its HOST:PORT, or auto on one of its nodes.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
