"""The picture: image and labels agree, the physics shows, identity stays outside, a threshold is not
enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyraseg.pipeline.phantom.ultrasound.annotations import annotation_layer
from pyraseg.pipeline.phantom.ultrasound.cases import (
    UltrasoundCase,
    draw_planned_case,
    plan_cases,
    render_frame,
)

PLANS = plan_cases(24, seed=0, patient_name=None)


@pytest.fixture(scope="module")
def rendered() -> list[tuple[UltrasoundCase, np.ndarray, np.ndarray]]:
    cases = [draw_planned_case(plan) for plan in PLANS]
    return [(case, *render_frame(case, 0)) for case in cases]


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def test_the_best_single_threshold_finds_the_fluid_with_dice_below_one_half(rendered):
    wet = [(case.sector.mask(), grey, labels == 2) for case, grey, labels in rendered if (labels == 2).any()]
    assert len(wet) >= 15
    scores = [
        np.mean([dice((grey < threshold) & inside, fluid) for inside, grey, fluid in wet])
        for threshold in range(2, 200, 2)
    ]
    assert 0.05 < max(scores) < 0.5


def test_labels_lie_in_the_sector_and_fluid_lies_in_the_kidney(rendered):
    for case, _, labels in rendered:
        assert not labels[~case.sector.mask()].any()
        assert (labels > 0).sum() > 0.02 * labels.size
        fluid = labels == 2
        edge = np.zeros_like(fluid)
        edge[1:], edge[:-1] = fluid[:-1], edge[:-1] | fluid[1:]
        edge[:, 1:] |= fluid[:, :-1]
        edge[:, :-1] |= fluid[:, 1:]
        assert (labels[edge & case.sector.mask()] > 0).all()


def test_fluid_is_there_exactly_where_the_plan_has_a_grade_and_grows_with_it(rendered):
    shares = [
        (plan.grade, (labels == 2).sum() / (labels > 0).sum())
        for plan, (_, _, labels) in zip(PLANS, rendered, strict=True)
    ]
    assert all((share > 0) == (grade > 0) for grade, share in shares)
    mean = [np.mean([share for grade, share in shares if grade == wanted]) for wanted in (1, 2, 3, 4)]
    assert mean == sorted(mean)


def test_fluid_is_darker_than_the_kidney_around_it(rendered):
    contrast = [
        grey[labels == 1].mean() - grey[labels == 2].mean()
        for _, grey, labels in rendered
        if (labels == 2).any()
    ]
    assert np.mean(contrast) > 25
    assert min(contrast) > 0


def test_tissue_behind_fluid_is_brighter_than_without_it():
    for plan in [plan for plan in PLANS if plan.grade == 4][:2]:
        case = draw_planned_case(plan)
        kidney = replace(case.anatomy.kidney, fluid=(), stone=None)
        around = replace(case.anatomy.surroundings, shadows=())
        wet = replace(
            case,
            anatomy=replace(
                case.anatomy, kidney=replace(kidney, fluid=case.anatomy.kidney.fluid), surroundings=around
            ),
        )
        dry = replace(case, anatomy=replace(case.anatomy, kidney=kidney, surroundings=around))
        grey, labels = render_frame(wet, 0)
        x, y = case.sector.pixels()
        columns = np.abs(x - case.anatomy.kidney.centre[0]) < 6
        behind = case.sector.mask() & columns & (y > case.anatomy.surroundings.psoas_mm + 4) & (labels == 0)
        assert grey[behind].mean() > render_frame(dry, 0)[0][behind].mean() + 2


def test_speckle_is_wider_across_the_beams_than_along_them(rendered):
    ratios = []
    for case, grey, _ in rendered:
        row = int(case.sector.face_pixel[0] + 0.75 * case.sector.depth_mm / case.sector.spacing_mm[0])
        column = int(case.sector.face_pixel[1])
        patch = grey[row - 30 : row + 30, column - 40 : column + 40].astype(float)
        along, across = np.diff(patch, axis=0).std(), np.diff(patch, axis=1).std()
        ratios.append(along / across)
    assert np.median(ratios) > 1.3


def test_outside_the_sector_there_is_nothing_but_annotation(rendered):
    for plan, (case, grey, _) in zip(PLANS, rendered, strict=True):
        assert not grey[~case.sector.mask()].any()
        layer = annotation_layer(case.sector, plan.header, calipers=True)
        assert layer.any()
        assert not layer[case.sector.mask()].any()


def test_the_name_is_burned_in_and_only_the_name_differs(rendered):
    case = rendered[0][0]
    one, other = (
        annotation_layer(case.sector, replace(PLANS[0].header, patient_name=name), calipers=True)
        for name in ("SENTINEL^ALPHA", "PHANTOM^CASE 0001")
    )
    rows, columns = np.nonzero(one != other)
    assert len(rows) > 30
    assert rows.max() < 30
    assert columns.max() < 160


def test_a_sentinel_name_is_in_header_and_pixels():
    plan = plan_cases(1, seed=0, patient_name="SENTINEL^ALPHA")[0]
    assert plan.header.patient_name == "SENTINEL^ALPHA"
    assert plan.entropy == PLANS[0].entropy


def test_frames_of_a_cine_move_a_little_and_show_the_same_organ():
    plan = next(plan for plan in PLANS if plan.frames > 1)
    case = draw_planned_case(plan)
    first, last = render_frame(case, 0), render_frame(case, plan.frames // 2)
    assert (first[0] != last[0]).any()
    assert 0.8 < dice(first[1] > 0, last[1] > 0) < 1


def test_frames_are_not_square_and_vary_in_size(rendered):
    sizes = {grey.shape for _, grey, _ in rendered}
    assert len(sizes) > 5
    assert all(rows < columns for rows, columns in sizes)
    assert all(430 < rows < 530 and 580 < columns < 700 for rows, columns in sizes)
