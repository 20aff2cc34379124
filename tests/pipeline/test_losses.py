"""The losses equal their formulas, in 2D and 3D, under autocast, on stacked and plain outputs."""

import pytest
import torch
from torch import nn

from pipeline.losses import AuxiliaryLoss, DiceCrossEntropyLoss
from transforms.errors import ConfigError


def batch(*size: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, *size, generator=generator)
    return logits, torch.randint(classes, (2, 1, *size), generator=generator)


def formula(logits, labels, *, w_dice=1.0, w_ce=1.0, over_batch=False, weight=None):
    """methods: w_ce * CE + w_dice * mean_k(1 - 2 sum(y p) / (sum(y^2) + sum(p^2)))."""
    classes = logits.shape[1]
    weight = torch.ones(classes) if weight is None else torch.tensor(weight)
    p = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    y = (labels == torch.arange(classes).view(1, -1, *[1] * (labels.dim() - 2))).float()
    dims = tuple(range(2, p.dim())) if not over_batch else (0, *range(2, p.dim()))
    dice = 1 - 2 * (y * p).sum(dims) / (y.square().sum(dims) + p.square().sum(dims))
    per_class = weight.view(1, -1, *[1] * (labels.dim() - 2)) * y
    cross_entropy = -(per_class * torch.log(p)).sum() / per_class.sum()
    return w_ce * cross_entropy + w_dice * (dice * weight).mean()


@pytest.mark.parametrize("size", [(17, 12), (9, 8, 7)])
@pytest.mark.parametrize("over_batch", [False, True])
@pytest.mark.parametrize("weight", [None, [0.5, 1.0, 2.0]])
@pytest.mark.parametrize(("w_dice", "w_ce"), [(1.0, 1.0), (0.7, 0.0), (0.0, 2.0)])
def test_the_loss_is_the_formula(size, over_batch, weight, w_dice, w_ce):
    logits, labels = batch(*size)
    loss = DiceCrossEntropyLoss(lambda_dice=w_dice, lambda_ce=w_ce, weight=weight, batch=over_batch)
    expected = formula(logits, labels, w_dice=w_dice, w_ce=w_ce, over_batch=over_batch, weight=weight)
    torch.testing.assert_close(loss(logits, labels), expected, rtol=1e-5, atol=1e-6)


def test_an_image_without_a_class_costs_a_third_unless_dice_is_over_the_batch():
    labels = torch.zeros(1, 1, 16, 16, dtype=torch.long)
    labels[:, :, :8] = 1
    complete = labels.clone()
    complete[:, :, :4] = 2
    both = torch.cat([complete, labels])
    logits = 5.0 * nn.functional.one_hot(both[:, 0], 3).movedim(-1, 1).float()
    costs = [DiceCrossEntropyLoss(batch=over_batch)(logits, both).item() for over_batch in (False, True)]
    assert costs[1] < 0.03
    assert costs[0] - costs[1] == pytest.approx(1 / 2 / 3, abs=0.02)  # one of two images, one of three classes


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.float32])
def test_labels_of_any_number_type_count_alike(kind):
    logits, labels = batch(8, 8)
    assert DiceCrossEntropyLoss()(logits, labels.to(kind)) == DiceCrossEntropyLoss()(logits, labels)


def test_autocast_and_bfloat16_logits_are_summed_in_float32():
    logits, labels = batch(64, 64)
    rounded = logits.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = AuxiliaryLoss(DiceCrossEntropyLoss())(torch.stack([rounded, rounded], 1), labels)
    expected = 1.4 * DiceCrossEntropyLoss()(logits.bfloat16().float(), labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert rounded.grad.isfinite().all()
    assert rounded.grad.any()


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_stay_finite_however_sure_the_network_is(scale):
    logits, labels = batch(16, 16)
    logits = (scale * logits).requires_grad_()
    DiceCrossEntropyLoss(batch=True)(logits, torch.zeros_like(labels)).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("size", [(17, 12), (9, 8, 7)])
def test_the_auxiliary_output_counts_by_its_weight(size):
    (main, labels), auxiliary = batch(*size), torch.randn(2, 3, *size)
    single = DiceCrossEntropyLoss()
    stacked = torch.stack([main, auxiliary], dim=1)
    torch.testing.assert_close(
        AuxiliaryLoss(single)(stacked, labels), single(main, labels) + 0.4 * single(auxiliary, labels)
    )
    torch.testing.assert_close(AuxiliaryLoss(single, weight=0.0)(stacked, labels), single(main, labels))


def test_a_plain_output_passes_through():
    logits, labels = batch(17, 12)
    assert AuxiliaryLoss(DiceCrossEntropyLoss())(logits, labels) == DiceCrossEntropyLoss()(logits, labels)


@pytest.mark.parametrize(
    "options",
    [
        {"lambda_dice": -1.0},
        {"lambda_dice": 0, "lambda_ce": 0},
        {"weight": [1, -1]},
        {"weight": [1, float("nan")]},
        {"weight": []},
    ],
)
def test_a_weight_that_is_none_is_refused(options):
    with pytest.raises(ConfigError, match="0 or more"):
        DiceCrossEntropyLoss(**options)


def test_a_negative_auxiliary_weight_is_refused():
    with pytest.raises(ConfigError, match="auxiliary"):
        AuxiliaryLoss(DiceCrossEntropyLoss(), weight=-0.4)
