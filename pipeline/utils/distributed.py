"""Several processes of ``torchrun`` that train one network; each function also works in a single process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pyraseg.pipeline.utils.devices import select_device
from pyraseg.transforms.errors import ConfigError

__all__ = [
    "BroadcastBuffers",
    "any_rank",
    "end",
    "gather",
    "is_main",
    "parallel",
    "rank",
    "rank_device",
    "refuse_several",
    "share",
    "start",
    "world_size",
]

_T = TypeVar("_T")


def start(device: torch.device | str) -> None:
    """Join the process group that ``torchrun`` describes in the environment: NCCL on GPUs, else gloo.

    Args:
        device: of this process, by `rank_device`.

    Raises:
        ConfigError: torchrun has not started this process.
    """
    if "RANK" not in os.environ:
        raise ConfigError(
            "processes started by torchrun",
            found="a plain python",
            remedy="Use torchrun --standalone --nproc_per_node=N -m monai.bundle run training ...",
        )
    if not dist.is_initialized():
        device = torch.device(device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def end() -> None:
    """Leave the process group: its threads may abort a process that ends with them, all work done."""
    if dist.is_initialized():
        dist.destroy_process_group()


def refuse_several() -> None:
    """Refuse to run in several processes.

    Raises:
        ConfigError: torchrun started several, which would all write the same files.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise ConfigError(
            "one process, or training with configs/multi_gpu_train.yaml as the second config file",
            found=f"{processes} processes of torchrun",
            remedy="Add it to --config_file, or leave torchrun out.",
        )


def rank_device(name: str | torch.device = "auto") -> torch.device:
    """The device of this process: with GPUs, the one whose number is the local rank.

    Raises:
        ConfigError: as ``select_device``, or more processes than GPUs.
    """
    device = select_device(name)
    if device.type != "cuda":
        return device
    return select_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


def rank() -> int:
    """The number of this process, 0 to ``world_size() - 1``."""
    return dist.get_rank() if _running() else 0


def world_size() -> int:
    """How many processes train together; 1 without torchrun."""
    return dist.get_world_size() if _running() else 1


def is_main() -> bool:
    """Whether this process writes the files and the MLflow run."""
    return rank() == 0


def share(items: Sequence[_T]) -> list[_T]:
    """This process's part of ``items``. The parts are disjoint and cover all: no case is validated twice.

    Raises:
        ConfigError: fewer items than processes; a process without any would block the others.
    """
    if len(items) < world_size():
        raise ConfigError(
            "a validation case or more for each process",
            found=f"{len(items)} cases for {world_size()} processes",
            remedy="Start fewer processes, or validate on more cases.",
        )
    return list(items[rank() :: world_size()])


def gather(value: _T) -> list[_T]:
    """The ``value`` of every process, in order of rank, on every process."""
    if not _running():
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def any_rank(flag: bool) -> bool:
    """Whether ``flag`` is set on any process, so that all leave a loop at the same step."""
    if not _running():
        return flag
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
    flags = torch.tensor(int(flag), device=device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return bool(flags)


def parallel(
    network: nn.Module,
    device: torch.device | str,
    *,
    sync_batchnorm: bool = False,
    find_unused: bool = False,
) -> nn.Module:
    """The network to train: gradients averaged over the processes, rank 0's buffers sent to all.

    Args:
        network: for checkpoints and validation; it shares its parameters with the result.
        sync_batchnorm: batch statistics over the batches of all GPUs, for small batches; CUDA only.
        find_unused: for parameters that are frozen for a while.
    """
    device = torch.device(device)
    device_ids = [device] if device.type == "cuda" else None
    if sync_batchnorm and device_ids:
        _synchronise(network)
    wrapped = DistributedDataParallel(network, device_ids=device_ids, find_unused_parameters=find_unused)
    torch.manual_seed(torch.initial_seed() + rank())  # each process drops other channels
    return wrapped


class BroadcastBuffers:
    """Ignite handler for the trainer: before validation all take rank 0's batch norm statistics.

    Each process has seen other images since the last step, and all must validate the same network.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self.networks = tuple(networks)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if _running():
            for network in self.networks:
                for buffer in network.buffers():
                    dist.broadcast(buffer, src=0)


def _running() -> bool:
    return dist.is_available() and dist.is_initialized()


def _synchronise(network: nn.Module) -> None:
    """Replace the batch norms in place, so that references to the modules around them stay valid."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
        else:
            _synchronise(child)
