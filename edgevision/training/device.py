"""Where training runs: the machine's GPU where there is one, and one process or several under ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Place:
    """One process of a training run."""

    device: torch.device
    number: torch.dtype
    """What activations are computed in."""
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def in_words(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        kind = "bfloat16" if self.number is torch.bfloat16 else "float32"
        return f"{name}, {kind}" + (f", {self.world} processes" if self.world > 1 else "")

    def pixels(self, images: Tensor) -> Tensor:
        """uint8 pictures as the network takes them, 0-1, on the device."""
        # Never float32 on the way to bfloat16: the conversion took as long as the stem otherwise.
        return images.to(self.device, non_blocking=True).to(self.number).div_(255)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.number is torch.bfloat16)

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The model as this process trains it: gradients are averaged over all processes."""
        if self.world == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def wait_for_all(self) -> None:
        if self.world > 1:
            torch.distributed.barrier()


@contextmanager
def chosen_place(device: str | None = None, threads: int | None = None) -> Iterator[Place]:
    """The device of this process; under ``torchrun`` (``WORLD_SIZE`` is set) joined to the other processes.

    ``device`` is ``cpu``, ``cuda`` or ``mps``; by itself a GPU goes before the CPU.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    kind = device or _best()
    chosen = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(chosen)
    # Without AVX-512 oneDNN has no fast bfloat16 convolution and falls back to a reference one.
    bf16 = torch.backends.cpu.get_cpu_capability().startswith("AVX512") if kind == "cpu" else False
    bf16 = bf16 or (kind == "cuda" and torch.cuda.is_bf16_supported())
    if world > 1:
        torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Place(chosen, torch.bfloat16 if bf16 else torch.float32, rank, world)
    finally:
        if world > 1:
            torch.distributed.destroy_process_group()


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
