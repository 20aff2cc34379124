"""The class of the greatest score."""

from __future__ import annotations

import torch

from pyraseg.pipeline.inference.argmax import greatest_class


def test_it_is_torch_s_argmax_and_of_equals_the_first():
    values = torch.randint(0, 4, (5, 9, 8, 7)).float()
    assert torch.equal(greatest_class(values).long(), values.argmax(dim=0))
    assert greatest_class(torch.zeros(3, 2, 2)).unique().tolist() == [0]


def test_more_than_256_classes_have_room():
    values = torch.zeros(300, 2)
    values[299] = 1
    assert greatest_class(values).tolist() == [299, 299]
