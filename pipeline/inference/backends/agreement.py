"""Whether an exported network says of images what the network itself says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BAR", "Agreement", "class_agreement", "measure_agreement", "smooth_images"]

BAR = 0.999  # share of the pixels


@dataclass(frozen=True)
class Agreement:
    """Shares of pixels that have the class which torch gives them in float32.

    Attributes:
        exported: the export in float32; it shows a fault of the export.
        working: the export in the type it is to compute in.
        torch: torch itself in that type: what this type costs wherever it is computed.
    """

    exported: float
    working: float
    torch: float

    @property
    def holds(self) -> bool:
        """99.9 % in float32, and in the working type unless torch there changes half as many pixels or
        more."""
        return self.exported >= BAR and 1 - self.working <= max(1 - BAR, 2 * (1 - self.torch))

    def facts(self) -> dict[str, float]:
        return asdict(self)


def smooth_images(shape: Sequence[int], *, seed: int = 0) -> Tensor:
    """Three images (3, C, H, W[, D]) of fixed smooth noise in [0, 1], from large spots to small ones."""
    generator = torch.Generator().manual_seed(seed)
    mode = "bilinear" if len(shape) == 3 else "trilinear"
    images = []
    for cells in (4, 8, 16):
        noise = torch.rand(1, shape[0], *[cells] * (len(shape) - 1), generator=generator)
        images.append(functional.interpolate(noise, size=tuple(shape[1:]), mode=mode, align_corners=False))
    return torch.cat(images)


def class_agreement(first: Tensor, second: Tensor) -> float:
    """The share of pixels with the same class in both scores (B, K, H, W[, D])."""
    return (first.argmax(1) == second.argmax(1)).double().mean().item()


def measure_agreement(
    network: nn.Module,
    *,
    exported: nn.Module,
    working: nn.Module,
    dtype: torch.dtype | None,
    shape: Sequence[int],
) -> Agreement:
    """Compare on three smooth images.

    Args:
        network: torch's, in evaluation mode, on the CPU, in float32.
        exported, working: the export in float32 and in the type that it will compute in.
        dtype: this type; None for float32.
        shape: of one image.
    """
    images = smooth_images(shape)
    with torch.inference_mode():
        wanted = network(images)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            rounded = network(images)
        whole, single = exported(images), exported(images[:1])  # also a batch of another size
        return Agreement(
            exported=min(class_agreement(whole, wanted), class_agreement(single, wanted[:1])),
            working=class_agreement(working(images), wanted),
            torch=class_agreement(rounded, wanted),
        )
