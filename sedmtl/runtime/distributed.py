"""Data-parallel training in several processes. With a single process, everything is a no-op.

The global batch is split: process r of n takes clips r, r + n, r + 2n ... The step equals that of
one process on the whole batch, because batch norm counts the clips of all processes and gradients
are averaged, weighted by each process's share. A share may be empty.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.nn.functional import all_reduce
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import counted

Rows = npt.NDArray[np.int64]
Result = TypeVar("Result")

PATIENCE_S = 5.0
"""Upper bound of the time a launcher takes to end all processes after one has failed."""


@contextmanager
def session(n_gpus: int | None) -> Iterator[None]:
    """Join the other processes that `torchrun` or `sedmtl train --gpus` started.

    They find each other through environment variables. Only the first prints, unless one fails:
    then only that one reports the error, and all exit.

    Args:
        n_gpus: 0 selects the CPU even if there are GPUs.
    """
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    store, own_rank, n_processes = next(rendezvous("env://"))
    backend = "nccl" if n_gpus != 0 and torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=own_rank, world_size=n_processes)
    progress.console.quiet = own_rank > 0
    try:
        if backend == "nccl":
            torch.cuda.set_device(_own_gpu())
        yield
        dist.destroy_process_group()
    except BaseException as error:
        _report_first_failure(store, error)
        raise


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def device() -> torch.device:
    """Device of this process; call it only if there are several."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def share(rows: Rows) -> Rows:
    """The rows that this process handles."""
    return rows[rank() :: world_size()]


def add_up(tensor: Tensor) -> Tensor:
    """Replace a tensor by its sum over all processes, the same bits on each."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def first(act: Callable[[], Result]) -> Result:
    """Run `act` in the first process while the others wait; all return or raise the same."""
    if world_size() == 1:
        return act()
    outcome: list[Result | Exception | None] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = act()
        except (SedmtlError, OSError) as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome, src=0)
    result, failure = outcome
    if isinstance(failure, Exception):
        raise failure
    return result  # type: ignore[return-value]  # the result of `act`


def join_batch_norm(network: nn.Module) -> nn.Module:
    """Make batch norm use the clips of all processes; names and weights are kept."""
    if world_size() == 1:
        return network
    if device().type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, JoinedBatchNorm.like(child))
    return network


def average_gradients(module: nn.Module) -> nn.Module:
    """Make `backward` average gradients over all processes."""
    if world_size() == 1:
        return module
    # Batch norm's statistics already agree, so no buffers need broadcasting.
    return DistributedDataParallel(module, broadcast_buffers=False)


class JoinedBatchNorm(nn.BatchNorm2d):
    """`nn.SyncBatchNorm` for the CPU, which torch's version does not support.

    Statistics are sums over the clips, frames and mel bins of all processes, n values per channel:
    mean = sum(x) / n, variance = sum((x - mean)^2) / n. The running variance is the unbiased one,
    variance * n / (n - 1), as in `nn.BatchNorm2d`. Gradients flow through the sums, so each
    process gets its part of the whole batch's gradient.
    """

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> JoinedBatchNorm:
        """Convert a layer; both share their parameters, frozen or not."""
        joined = cls(norm.num_features, norm.eps, norm.momentum)
        joined.load_state_dict(norm.state_dict())
        joined.weight, joined.bias = norm.weight, norm.bias
        return joined.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, F) -> (B, D, T, F); B may differ between processes, or be 0."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = values.new_tensor([values.numel() // values.shape[1]])
        sums = _sum_of_all(torch.cat([values.sum(dim=(0, 2, 3)), count]))
        n = sums[-1].detach()
        mean = sums[:-1] / n  # (D,)
        centred = values - mean[:, None, None]
        variance = _sum_of_all(centred.square().sum(dim=(0, 2, 3))) / n  # (D,)
        self._remember(mean.detach(), variance.detach() * n / (n - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _remember(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased_variance, self.momentum)
        self.num_batches_tracked += 1


def _sum_of_all(tensor: Tensor) -> Tensor:
    total: Tensor = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return total


def _own_gpu() -> int:
    """Index of this process's GPU on its machine; refuses more processes than GPUs."""
    own, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if own >= found:
        raise SedmtlError(
            f"torchrun started process {own + 1} on a machine with {counted(found, 'GPU')}: ask "
            f"for --nproc-per-node {found}, or for --gpus 0 to train on the CPU"
        )
    return own


def _report_first_failure(store: Store, error: BaseException) -> None:
    """End this process silently if another one failed first and reports the error.

    The launcher reports interruptions. A silent process exits without tearing down the
    interpreter: threads of the failing process group would write to stderr.
    """
    progress.console.quiet = False
    try:
        is_first = store.add("sedmtl/failed", 1) == 1
    except dist.DistError:
        is_first = False  # the launcher, which hosts the store, is gone
    if isinstance(error, KeyboardInterrupt):
        os._exit(130)
    if not is_first:
        # The launcher ends all processes as soon as one exits, so stay alive until the other
        # process has printed its error.
        with suppress(KeyboardInterrupt):
            time.sleep(PATIENCE_S)
        os._exit(1)
