"""The losses equal their formulas, in 2D and 3D, under autocast, on stacked and plain outputs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.losses import FocalLoss, NACLLoss
from torch import nn

from pyraseg.pipeline.losses import (
    SOFT_LOSSES,
    AuxiliaryLoss,
    Float32DiceCELoss,
    SoftLabelDivergence,
    SoftTargets,
    SpatiallyVaryingLabelSmoothing,
    soft_label_loss,
)
from pyraseg.transforms.errors import ConfigError


def patent_loss(**options):
    """With the options that the bundles' configs give it."""
    formula = dict.fromkeys(("softmax", "to_onehot_y", "squared_pred", "include_background"), True)
    return Float32DiceCELoss(**formula, **options)


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
    loss = patent_loss(lambda_dice=w_dice, lambda_ce=w_ce, weight=weight, batch=over_batch)
    expected = formula(logits, labels, w_dice=w_dice, w_ce=w_ce, over_batch=over_batch, weight=weight)
    torch.testing.assert_close(loss(logits, labels), expected, rtol=1e-5, atol=1e-6)


def test_an_image_without_a_class_costs_a_third_unless_dice_is_over_the_batch():
    labels = torch.zeros(1, 1, 16, 16, dtype=torch.long)
    labels[:, :, :8] = 1
    complete = labels.clone()
    complete[:, :, :4] = 2
    both = torch.cat([complete, labels])
    logits = 5.0 * nn.functional.one_hot(both[:, 0], 3).movedim(-1, 1).float()
    costs = [patent_loss(batch=over_batch)(logits, both).item() for over_batch in (False, True)]
    assert costs[1] < 0.03
    assert costs[0] - costs[1] == pytest.approx(
        1 / 2 / 3, abs=0.02
    )  # one of two images, one of three classes


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.float32])
def test_labels_of_any_number_type_count_alike(kind):
    logits, labels = batch(8, 8)
    assert patent_loss()(logits, labels.to(kind)) == patent_loss()(logits, labels)


def test_autocast_and_bfloat16_logits_are_summed_in_float32():
    logits, labels = batch(64, 64)
    rounded = logits.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = AuxiliaryLoss(patent_loss())(torch.stack([rounded, rounded], 1), labels)
    expected = 1.4 * patent_loss()(logits.bfloat16().float(), labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert rounded.grad.isfinite().all()
    assert rounded.grad.any()


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_stay_finite_however_sure_the_network_is(scale):
    logits, labels = batch(16, 16)
    logits = (scale * logits).requires_grad_()
    patent_loss(batch=True)(logits, torch.zeros_like(labels)).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("size", [(17, 12), (9, 8, 7)])
def test_the_auxiliary_output_counts_by_its_weight(size):
    (main, labels), auxiliary = batch(*size), torch.randn(2, 3, *size)
    single = patent_loss()
    stacked = torch.stack([main, auxiliary], dim=1)
    torch.testing.assert_close(
        AuxiliaryLoss(single)(stacked, labels), single(main, labels) + 0.4 * single(auxiliary, labels)
    )
    torch.testing.assert_close(AuxiliaryLoss(single, weight=0.0)(stacked, labels), single(main, labels))


def test_a_plain_output_passes_through():
    logits, labels = batch(17, 12)
    assert AuxiliaryLoss(patent_loss())(logits, labels) == patent_loss()(logits, labels)


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
        patent_loss(**options)


def test_a_negative_auxiliary_weight_is_refused():
    with pytest.raises(ConfigError, match="auxiliary"):
        AuxiliaryLoss(patent_loss(), weight=-0.4)


def soft_batch(*size: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, hard labels and soft labels that sum to 1."""
    logits, labels = batch(*size, classes=classes)
    soft = torch.rand(2, classes, *size, generator=torch.Generator().manual_seed(1)) ** 3
    return logits, labels, soft / soft.sum(1, keepdim=True)


def divergence(logits, soft):
    p = torch.softmax(logits, 1)
    return (soft * torch.log(soft / p)).sum(1).mean()


def with_hard(labels, soft):
    return torch.cat([labels.to(soft.dtype), soft], 1)


class TestSoftLabels:
    """methods: beta * mean_i sum_k q_k log(q_k / p_k) beside the loss on hard labels."""

    @pytest.mark.parametrize("size", [(17, 12), (9, 8, 7)])
    @pytest.mark.parametrize("classes", [2, 3, 11])
    @pytest.mark.parametrize("beta", [1.0, 0.3])
    def test_the_loss_is_the_formula(self, size, classes, beta):
        logits, labels, soft = soft_batch(*size, classes=classes)
        loss = soft_label_loss("superpixel", hard=patent_loss(), num_classes=classes, beta=beta)
        expected = formula(logits, labels) + beta * divergence(logits, soft)
        torch.testing.assert_close(loss(logits, with_hard(labels, soft)), expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("size", [(6, 5), (4, 3, 5)])
    def test_its_gradient_at_a_pixel_is_p_less_q(self, size):
        logits, labels, soft = soft_batch(*size)
        soft[:, :, 0] = F.one_hot(labels[:, 0, 0], 3).movedim(-1, 1)  # hard where no boundary crosses
        logits = logits.double().requires_grad_()
        SoftLabelDivergence()(logits, with_hard(labels, soft.double())).backward()
        pixels = 2 * np.prod(size)
        torch.testing.assert_close(
            logits.grad * pixels, torch.softmax(logits, 1).detach() - soft, atol=1e-6, rtol=1e-5
        )

    def test_it_is_0_where_the_prediction_is_the_soft_label_and_nowhere_below(self):
        logits, labels, soft = soft_batch(17, 12)
        assert SoftLabelDivergence()(soft.log(), with_hard(labels, soft)).item() == pytest.approx(0, abs=1e-6)
        assert SoftLabelDivergence()(logits, with_hard(labels, soft)) > 0

    def test_a_hard_soft_label_makes_it_the_cross_entropy(self):
        logits, labels = batch(17, 12)
        soft = F.one_hot(labels[:, 0], 3).movedim(-1, 1).float()
        expected = F.cross_entropy(logits, labels[:, 0])
        torch.testing.assert_close(SoftLabelDivergence()(logits, with_hard(labels, soft)), expected)

    def test_unknown_pixels_count_for_nothing_and_have_no_gradient(self):
        logits, labels, soft = soft_batch(17, 12)
        soft[:, :, :, 6:] = 0
        logits.requires_grad_()
        loss = SoftLabelDivergence()(logits, with_hard(labels, soft))
        loss.backward()
        torch.testing.assert_close(loss, divergence(logits[..., :6], soft[..., :6]), rtol=1e-5, atol=1e-6)
        assert not logits.grad[..., 6:].any()
        assert logits.grad[..., :6].any()

    def test_a_batch_in_which_nothing_is_known_costs_nothing(self):
        logits, labels, soft = soft_batch(17, 12)
        logits.requires_grad_()
        loss = SoftLabelDivergence()(logits, with_hard(labels, torch.zeros_like(soft)))
        loss.backward()
        assert loss == 0
        assert not logits.grad.any()

    def test_labels_that_interpolation_has_made_smaller_are_divided_by_their_sum(self):
        logits, labels, soft = soft_batch(17, 12)
        full = SoftLabelDivergence()(logits, with_hard(labels, soft))
        torch.testing.assert_close(SoftLabelDivergence()(logits, with_hard(labels, 0.6 * soft)), full)
        assert (
            SoftLabelDivergence()(logits, with_hard(labels, 0.4 * soft)) == 0
        )  # mostly from outside: not known

    def test_bytes_are_the_same_to_their_rounding(self):
        logits, labels, soft = soft_batch(64, 64)
        exact = SoftLabelDivergence()(logits, with_hard(labels, soft))
        coarse = SoftLabelDivergence()(logits, with_hard(labels, (255 * soft).round().to(torch.uint8)))
        assert coarse.item() == pytest.approx(exact.item(), abs=2e-3)

    @pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
    def test_gradients_stay_finite_however_sure_the_network_is(self, scale):
        logits, labels, soft = soft_batch(16, 16)
        logits = (scale * logits).requires_grad_()
        loss = soft_label_loss("superpixel", hard=patent_loss(), num_classes=3)
        loss(logits, with_hard(labels, soft)).backward()
        assert logits.grad.isfinite().all()

    def test_hard_labels_alone_are_refused_with_what_to_add(self):
        logits, labels = batch(8, 8)
        with pytest.raises(ConfigError, match="SoftLabelsd"):
            soft_label_loss("superpixel", hard=patent_loss(), num_classes=3)(logits, labels)


def targets(name: str, labels, soft):
    return with_hard(labels, soft) if name == "superpixel" else labels


@pytest.mark.parametrize("name", SOFT_LOSSES)
@pytest.mark.parametrize("size", [(17, 12), (9, 8, 7)])
@pytest.mark.parametrize("classes", [2, 5])
class TestEverySoftLoss:
    """One interface: logits and targets whose first channel is the hard label, 2D and 3D, any label set."""

    def loss(self, name, size, classes, **options):
        hard = patent_loss()
        return soft_label_loss(name, hard=hard, num_classes=classes, spatial_dims=len(size), **options)

    def test_it_adds_to_the_hard_loss_by_its_weight(self, name, size, classes):
        logits, labels, soft = soft_batch(*size, classes=classes)
        aims = targets(name, labels, soft)
        hard = patent_loss()(logits, labels)
        one, two = (self.loss(name, size, classes, beta=beta)(logits, aims) - hard for beta in (1.0, 2.0))
        torch.testing.assert_close(two, 2 * one, rtol=1e-4, atol=1e-6)
        assert (one.item() == 0) == (name == "none")

    def test_main_and_auxiliary_output_under_autocast(self, name, size, classes):
        logits, labels, soft = soft_batch(*size, classes=classes)
        single, aims = self.loss(name, size, classes), targets(name, labels, soft)
        rounded = logits.bfloat16().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = AuxiliaryLoss(single)(torch.stack([rounded, rounded], 1), aims)
        loss.backward()
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, 1.4 * single(logits.bfloat16().float(), aims))
        assert rounded.grad.isfinite().all()

    @pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
    def test_labels_of_any_number_type_and_further_channels(self, name, size, classes, kind):
        logits, labels, soft = soft_batch(*size, classes=classes)
        both = with_hard(labels, soft)
        if kind == torch.uint8:
            both = with_hard(labels.to(kind), (255 * soft).round().to(kind))
        expected = self.loss(name, size, classes)(logits, targets(name, labels, soft))
        torch.testing.assert_close(
            self.loss(name, size, classes)(logits, both), expected, rtol=1e-2, atol=1e-2
        )


class TestComparisonLosses:
    def term(self, name, logits, labels, **options):
        hard = patent_loss()
        loss = soft_label_loss(name, hard=hard, num_classes=logits.shape[1], **options)
        return loss(logits, labels) - hard(logits, labels)

    def test_label_smoothing_spreads_its_share_over_all_classes(self):
        logits, labels = batch(17, 12)
        soft = 0.8 * F.one_hot(labels[:, 0], 3).movedim(-1, 1) + 0.2 / 3
        expected = -(soft * F.log_softmax(logits, 1)).sum(1).mean()
        torch.testing.assert_close(self.term("label_smoothing", logits, labels, smoothing=0.2), expected)

    def test_focal_and_nacl_are_monai_s(self):
        logits, labels = batch(17, 12)
        focal = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=1.5)(logits, labels) * 3
        nacl = NACLLoss(classes=3, dim=2, alpha=0.2)(logits, labels[:, 0])
        torch.testing.assert_close(self.term("focal", logits, labels, gamma=1.5), focal)
        torch.testing.assert_close(self.term("nacl", logits, labels, alpha=0.2), nacl)

    def test_focal_without_focus_is_cross_entropy(self):
        logits, labels = batch(17, 12)
        expected = F.cross_entropy(logits, labels[:, 0])
        torch.testing.assert_close(self.term("focal", logits, labels, gamma=0.0), expected)

    def test_svls_leaves_half_to_the_pixel_and_hard_labels_where_neighbours_agree(self):
        label = torch.zeros(1, 9, 9, dtype=torch.long)
        label[:, :, 5:] = 1
        label[:, 2, 2] = 2
        soft = SpatiallyVaryingLabelSmoothing().soften(label, num_classes=3)
        torch.testing.assert_close(soft.sum(1), torch.ones(1, 9, 9))
        assert soft[0, 2, 2, 2] == pytest.approx(0.5)
        assert torch.equal(soft[0, 1, :, 7:], torch.ones(9, 2))  # the border repeats what is beside it
        straight, diagonal = np.exp(-0.5), np.exp(-1)
        across = (straight + 2 * diagonal) / (2 * 4 * (straight + diagonal))
        assert soft[0, 1, 6, 4] == pytest.approx(across, abs=1e-6)

    def test_svls_of_a_volume_looks_at_all_26_neighbours(self):
        label = torch.zeros(1, 5, 5, 5, dtype=torch.long)
        label[0, 2, 2, 2] = 1
        soft = SpatiallyVaryingLabelSmoothing().soften(label, num_classes=2)
        assert soft[0, 1, 2, 2, 2] == pytest.approx(0.5)
        assert int((soft[0, 1] > 0).sum()) == 27
        assert float(soft[0, 1].sum()) == pytest.approx(1.0, abs=1e-6)

    def test_svls_cost_is_the_cross_entropy_with_its_labels(self):
        logits, labels = batch(17, 12)
        soft = SpatiallyVaryingLabelSmoothing(sigma=0.7).soften(labels[:, 0], num_classes=3)
        expected = -(soft * F.log_softmax(logits, 1)).sum(1).mean()
        torch.testing.assert_close(self.term("svls", logits, labels, sigma=0.7), expected)

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("superpixels", {}),
            ("superpixel", {"beta": -1}),
            ("superpixel", {"beta": 0}),
            ("label_smoothing", {"smoothing": 1.0}),
            ("svls", {"sigma": 0}),
            ("nacl", {"alpha": float("nan")}),
            ("focal", {"gamma": -1}),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, name, options):
        with pytest.raises(ConfigError):
            soft_label_loss(name, hard=patent_loss(), num_classes=3, **options)


class TestSoftTargets:
    def test_the_hard_label_comes_first_then_the_soft_one(self):
        _, labels, soft = soft_batch(8, 8)
        coarse = (255 * soft).to(torch.uint8)
        images, aims = SoftTargets()(
            {"image": labels * 2, "label": labels.to(torch.uint8), "soft_label": coarse}
        )
        assert torch.equal(images, labels * 2)
        assert aims.dtype == torch.uint8
        assert torch.equal(aims[:, :1], labels.to(torch.uint8))
        assert torch.equal(aims[:, 1:], coarse)

    def test_a_batch_without_soft_labels_keeps_its_hard_ones(self):
        _, labels = batch(8, 8)
        assert torch.equal(SoftTargets()({"image": labels, "label": labels})[1], labels)
