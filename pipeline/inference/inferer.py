"""How a batch goes through the network: whole or by sliding window, flipped or not, in full or mixed
precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer

from pyraseg.pipeline.inference.ensemble import EnsembleInferer
from pyraseg.pipeline.inference.flips import FlipInferer
from pyraseg.pipeline.utils.devices import select_device
from pyraseg.transforms.errors import ConfigError

__all__ = ["AutocastInferer", "make_inferer", "mixed_precision", "select_device"]

KERNEL = 3  # voxels of the widest kernel without padding of its own
LARGEST_STRIDE = 32


def mixed_precision(device: torch.device, amp: bool | str = "auto") -> torch.dtype | None:
    """The type that convolutions compute in: bfloat16 where the device has it in hardware, None for float32.

    bfloat16 has float32's range, so no gradient scaler is needed. ``amp``: ``auto``, True (also where it is
    emulated) or False.

    Raises:
        ConfigError: another ``amp``.
    """
    if amp != "auto" and not isinstance(amp, bool):
        raise ConfigError("amp of auto, true or false", found=repr(amp), remedy="Correct --amp.")
    if amp is False:
        return None
    if amp is True:
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _native_bf16() else None


def _native_bf16() -> bool:
    """oneDNN also claims bfloat16 on processors that emulate it, which is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class AutocastInferer(Inferer):
    """Run another inferer under autocast on any device (MONAI's engines autocast on CUDA only); returns
    float32.

    Args:
        inferer: the inferer to run.
        device, dtype: where and in which type; dtype None switches autocast off.
        channels_last: lay 2D batches out (B, H, W, C) in memory, which convolutions on CPUs and tensor cores
            prefer.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.inferer = inferer
        self.device = device
        self.dtype = dtype
        self.channels_last = channels_last

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Map inputs (B, C, H, W) to the network's output in float32."""
        # A MetaTensor dispatches every operation of the network through Python; the network needs no
        # metadata.
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if self.channels_last and plain.ndim == 4:
            plain = plain.contiguous(memory_format=torch.channels_last)
        dtype = None if _too_narrow(plain, network, self.device) else self.dtype
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            return self.inferer(plain, network, *args, **kwargs).float()


def _too_narrow(inputs: torch.Tensor, network: Any, device: torch.device) -> bool:
    """Whether a training step on volumes would have bfloat16 gradients that are wrong.

    On CPUs oneDNN's bfloat16 gradient of a 3D convolution's weights reads memory that nobody wrote where the
    kernel is wider than the volume (torch 2.13): NaN now and then, and finite numbers at other times. Kernels
    are 3 wide, but for the attention's, which pads its maps itself. A network that does not say its stride is
    taken to have the largest.
    """
    if inputs.ndim != 5 or device.type != "cpu" or not torch.is_grad_enabled():
        return False
    return min(inputs.shape[2:]) < KERNEL * getattr(network, "output_stride", LARGEST_STRIDE)


def make_inferer(
    mode: str,
    *,
    device: torch.device,
    amp: bool | str = "auto",
    roi_size: Sequence[int] = (),
    overlap: float = 0.5,
    tta_flips: Sequence[str] | None = None,
) -> Inferer:
    """``whole``: the network sees the whole image; ``sliding``: windows of ``roi_size`` pixels, Gaussian
    weights, ``overlap``.

    The members of an ``Ensemble`` are averaged. ``tta_flips`` names the axes of ``FlipInferer``; None or
    empty: the image as it is.

    Raises:
        ConfigError: another mode, or an unknown axis.
    """
    if mode == "whole":
        inferer: Inferer = SimpleInferer()
    elif mode == "sliding":
        inferer = SlidingWindowInferer(roi_size=roi_size, sw_batch_size=4, overlap=overlap, mode="gaussian")
    else:
        raise ConfigError(
            "an inference mode of whole or sliding", found=repr(mode), remedy="Correct --inference_mode."
        )
    inferer = EnsembleInferer(AutocastInferer(inferer, device=device, dtype=mixed_precision(device, amp)))
    return FlipInferer(inferer, tta_flips) if tta_flips else inferer
