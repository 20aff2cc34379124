"""Run images through a network: whole or by windows, with or without flips, in full or mixed precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import ensure_tuple
from torch import Tensor

from pyraseg.pipeline.inference.ensemble import Ensemble, log_mean_probability
from pyraseg.pipeline.inference.sliding import Slab, WindowPlan, blended_slabs, plan_windows
from pyraseg.pipeline.inference.source_grid import argmax_channels
from pyraseg.pipeline.utils.devices import select_device
from pyraseg.transforms.errors import ConfigError, GeometryError, InputError
from pyraseg.transforms.io.limits import are_finite

__all__ = ["FLIP_AXES", "SegmentationInferer", "mixed_precision"]

FLIP_AXES = ("h", "w", "d")  # the array's spatial axes (C, H, W[, D]): rows, columns, slices
KERNEL = 3  # voxels of the widest kernel that is not padded by hand
LARGEST_STRIDE = 32


def mixed_precision(device: torch.device, amp: bool | str = "auto") -> torch.dtype | None:
    """The type of convolutions: bfloat16 where the device has it in hardware, None for float32.

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
    # oneDNN also reports bfloat16 on processors that emulate it, slower than float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() and native else None


class SegmentationInferer(Inferer):
    """Run a network on images or volumes: the same in training, validation, evaluation and prediction.

    The network runs under autocast on any device (MONAI's engines autocast on CUDA only). The weighted mean
    of the windows' scores is that of MONAI's ``SlidingWindowInferer`` with Gaussian weights, but for
    rounding. Flips and the members of an `Ensemble` are averaged within each window, so they cost time and no
    memory; the scores then are the logarithm of the mean probability.

    Args:
        mode: ``whole`` for whole images; ``sliding`` for windows, without gradients.
        roi_size: of a window in pixels, (h, w) or (x, y, z); -1 is the image's size. A smaller image is
            padded with zeros.
        overlap: the fraction of a window that its neighbour covers.
        device: a `torch.device`, its name, or ``auto``; inputs are moved to it, the network must be on it.
        amp: as `mixed_precision`.
        tta_flips: axes among "h" (rows, upside down), "w" (columns, left and right) and "d" (slices of a
            volume); every combination of them is averaged. None or empty for no flips.
        batch_size: windows in one forward pass.

    Raises:
        ConfigError: an unknown mode, device or ``amp``, a batch size below 1, an unknown or repeated axis;
            when called, an axis that the image does not have, or an impossible overlap or window.
        GeometryError: when called, if scores are not on the windows' grid.
        InputError: when called, if inputs, or scores without gradients, are NaN or infinite.

    >>> inferer = SegmentationInferer("sliding", roi_size=(8, 8, 8), device="cpu", tta_flips=["w"])
    >>> network, volume = torch.nn.Conv3d(1, 3, 3, padding=1), torch.rand(1, 1, 12, 10, 9)
    >>> scores = inferer(volume, network)
    >>> scores.shape
    torch.Size([1, 3, 12, 10, 9])
    >>> labels = np.concatenate([slab.labels for slab in inferer.slabs(volume, network, axis=2)], axis=2)
    >>> np.array_equal(labels, scores[0].argmax(dim=0))
    True
    """

    def __init__(
        self,
        mode: str = "whole",
        *,
        roi_size: Sequence[int] = (),
        overlap: float = 0.5,
        device: torch.device | str = "auto",
        amp: bool | str = "auto",
        tta_flips: Sequence[str] | None = None,
        batch_size: int = 4,
    ) -> None:
        super().__init__()
        if mode not in ("whole", "sliding"):
            wanted = "an inference mode of whole or sliding"
            raise ConfigError(wanted, found=repr(mode), remedy="Correct --inference_mode.")
        if batch_size < 1:
            remedy = "Correct --batch_size."
            raise ConfigError("a batch of 1 window or more", found=f"{batch_size}", remedy=remedy)
        self.mode = mode
        self.roi_size = tuple(roi_size)
        self.overlap = overlap
        self.device = select_device(device)
        self.amp = amp
        self.dtype = mixed_precision(self.device, amp)
        self.tta_flips = _flip_names(tta_flips)
        self.batch_size = batch_size

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(B, C, H, W[, D]) -> scores (B, K, H, W[, D]), float32 without metadata."""
        # A MetaTensor dispatches every operation of the network through Python.
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        try:
            return self._scores(plain, network, *args, **kwargs)
        except InputError as error:
            cases = ensure_tuple(getattr(inputs, "meta", {}).get("case", ()))
            raise error.restated(found=", in case ".join([error.found, *cases])) from None

    def _scores(self, plain: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if self.mode == "whole":
            return self._score(plain.to(self.device), network, *args, **kwargs)
        plan = plan_windows(plain.shape[2:], self.roi_size, overlap=self.overlap)
        scores = torch.empty(0)
        for index, image in enumerate(plain):
            for slices, sums, weights in self._blended(image, plan, network, *args, **kwargs):
                if not scores.numel():
                    scores = sums.new_empty(len(plain), len(sums), *plan.size)
                scores[index][(slice(None), *slices)] = sums / weights
        return scores

    def slabs(
        self, volume: Tensor | np.ndarray, network: Callable[..., Tensor], *, axis: int | None = None
    ) -> Iterator[Slab]:
        """Label a volume in bounded memory: yield finished slabs, in order along an axis.

        Args:
            volume: (1, C, X, Y, Z) or (C, X, Y, Z), a tensor or an array, memory-mapped or not.
            network: (B, C, x, y, z) -> scores (B, K, x, y, z).
            axis: 0, 1 or 2; None takes the one that needs least memory.

        Raises:
            GeometryError: another shape, several volumes or an empty one.
        """
        shape = tuple(volume.shape)
        if len(shape) not in (4, 5) or (len(shape) == 5 and shape[0] != 1) or 0 in shape:
            wanted, remedy = "a volume (C, X, Y, Z) or (1, C, X, Y, Z)", "Infer volumes one by one."
            raise GeometryError(wanted, found=f"{shape}", remedy=remedy)
        plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
        roi_size = self.roi_size if self.mode == "sliding" else (-1, -1, -1)
        plan = plan_windows(shape[-3:], roi_size, overlap=self.overlap)
        image = plain[0] if len(shape) == 5 else plain
        for slices, sums, weights in self._blended(image, plan, network, axis=axis):
            labels = argmax_channels(sums).cpu().numpy()
            labels = labels if labels.dtype == np.uint8 else labels.astype(np.uint16)
            yield Slab(slices, labels, (sums / weights).softmax(dim=0).cpu().numpy())

    def _blended(
        self,
        image: Tensor | np.ndarray,
        plan: WindowPlan,
        network: Callable[..., Tensor],
        *args: Any,
        axis: int | None = None,
        **kwargs: Any,
    ) -> Iterator[tuple[tuple[slice, ...], Tensor, Tensor]]:
        """`blended_slabs` of an image (C, *size)."""

        def score(windows: Tensor) -> Tensor:
            return self._score(windows, network, *args, **kwargs)

        axis = plan.thinnest() if axis is None else axis
        return blended_slabs(image, score, plan, axis=axis, batch_size=self.batch_size, device=self.device)

    def _score(self, batch: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Scores (B, K, ...) of a whole batch, the mean of its flips."""
        if not self.tta_flips:
            return self._members(batch, network, *args, **kwargs)
        axes = sorted(2 + FLIP_AXES.index(name) for name in self.tta_flips)  # behind batch and channel
        if axes[-1] >= batch.ndim:
            found = f"an image with {batch.ndim - 2}"
            remedy = f"Leave {FLIP_AXES[batch.ndim - 2]} out of --tta_flips."
            raise ConfigError("an image with three spatial axes to flip along d", found=found, remedy=remedy)
        subsets = [subset for size in range(len(axes) + 1) for subset in combinations(axes, size)]
        return log_mean_probability(
            self._members(batch.flip(subset), network, *args, **kwargs).flip(subset) for subset in subsets
        )

    def _members(self, batch: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        members = network.members if isinstance(network, Ensemble) else [network]
        scores = (self._forward(batch, member, *args, **kwargs) for member in members)
        return log_mean_probability(scores) if isinstance(network, Ensemble) else next(scores)

    def _forward(self, batch: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if batch.ndim == 4:  # the layout that 2D convolutions on CPUs and tensor cores prefer
            batch = batch.contiguous(memory_format=torch.channels_last)
        if not are_finite(batch):
            remedy = "Check the values of the image and what scales them, or leave it out."
            raise InputError("an image of finite numbers", found="NaN or infinite ones", remedy=remedy)
        dtype = None if _too_narrow(batch, network, self.device) else self.dtype
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            scores = network(batch, *args, **kwargs).float()
        if not torch.is_grad_enabled() and not are_finite(scores):  # of a training the loss is looked at
            remedy = "Check the image's values and the checkpoint; a training needs a lower --learning_rate."
            raise InputError("scores of finite numbers", found="NaN or infinite ones", remedy=remedy)
        return scores


def _flip_names(flips: Sequence[str] | None) -> tuple[str, ...]:
    names = (flips,) if isinstance(flips, str) else tuple(flips or ())
    if not set(names) <= set(FLIP_AXES) or len(set(names)) != len(names):
        raise ConfigError(
            f"flips among {', '.join(FLIP_AXES)}, each once",
            found=", ".join(map(str, names)),
            remedy="Write --tta_flips [w], or [h,w]; null for none.",
        )
    return names


def _too_narrow(inputs: Tensor, network: Any, device: torch.device) -> bool:
    """Whether a training step on volumes would have wrong bfloat16 gradients.

    On CPUs oneDNN's bfloat16 gradient of a 3D convolution's weights reads uninitialised memory where the
    kernel is wider than the volume (torch 2.13): NaN now and then, and finite numbers at other times. Kernels
    are 3 wide, except the attention's, which pads its maps itself. A network without a stated stride counts
    as one of the largest stride.
    """
    if inputs.ndim != 5 or device.type != "cpu" or not torch.is_grad_enabled():
        return False
    return min(inputs.shape[2:]) < KERNEL * getattr(network, "output_stride", LARGEST_STRIDE)
