"""Tissue of ultrasound frames: crop and blank keep all of it and drop what is burned in beside it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.data.utils import pickle_hashing
from monai.transforms import Compose, Invertd
from PIL import Image, ImageDraw, ImageFont
from pydicom.data import get_testdata_file
from scipy.ndimage import binary_dilation, gaussian_filter

from pyraseg.pipeline.phantom.ultrasound.annotations import COLOURS, annotation_layer
from pyraseg.pipeline.phantom.ultrasound.cases import draw_planned_case, plan_cases, render_frame
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.frame.tissue import (
    BlankOutsideTissue,
    BlankOutsideTissued,
    CropToTissue,
    CropToTissued,
)
from pyraseg.transforms.frame.tissue_mask import find_tissue, search_tissue
from pyraseg.transforms.io.frames import LoadFramed

NEAR = 8  # pixels: the mask's margin on a frame of this size; text nearer to the sector than this counts as touching it
PREPARE = Compose([CropToTissued(("image", "label")), BlankOutsideTissued("image")])


@pytest.fixture(scope="module", params=[(0, 0), (0, 2), (0, 5), (3, 4)], ids=str)
def phantom(request):
    """One phantom frame: the image, its labels, where text is and where the sector is."""
    seed, index = request.param
    plan = plan_cases(index + 1, seed=seed, patient_name="SENTINEL^NAME")[index]
    case = draw_planned_case(plan)
    grey, label = render_frame(case, 0)
    layer = annotation_layer(case.sector, plan.header, calipers=True)
    tissue = grey * np.asarray(plan.tint)[:, None, None]
    rgb = np.where(layer > 0, np.asarray(COLOURS)[layer].transpose(2, 0, 1), tissue).astype(np.uint8)
    return rgb, label, layer > 0, case.sector


def frame(array, **meta):
    meta = {"display_max": 255.0} | meta
    return MetaTensor(
        torch.as_tensor(array), affine=torch.diag(torch.tensor([0.4, 0.3, 1.0, 1.0])), meta=meta
    )


def speckle(rows, columns, seed=0):
    return np.random.default_rng(seed).integers(20, 200, (rows, columns)).astype(np.uint8)


def panels(*boxes, size=(300, 400), background=0):
    """A frame with speckle in every box."""
    image = np.full((1, *size), background, dtype=np.uint8)
    for top, left, bottom, right in boxes:
        image[0, top:bottom, left:right] = speckle(bottom - top, right - left)
    return image


def write(image, place, text="NAME 12.34"):
    picture = Image.fromarray(image[0])
    ImageDraw.Draw(picture).text(place, text, fill=255)
    return np.asarray(picture)[None].copy()


@pytest.mark.parametrize("boxed", [False, True])
def test_text_beside_the_sector_is_gone_and_no_tissue_is(phantom, boxed):
    rgb, label, text, sector = phantom
    left, top, right, bottom = sector.box()
    meta = {"tissue_box": [top, left, bottom + 1, right + 1]} if boxed else {}
    inverted = Invertd("image", transform=PREPARE, orig_keys="image", nearest_interp=False)
    seen = inverted(PREPARE({"image": frame(rgb, **meta), "label": frame(label[None])}))["image"].numpy()
    beside = text & ~binary_dilation(sector.mask(), iterations=NEAR)
    assert beside.sum() > 1000
    assert not seen[:, beside].any()
    assert (seen[:, sector.mask()] == rgb[:, sector.mask()]).all()
    assert (label > 0).any()
    assert (seen[:, label > 0] == rgb[:, label > 0]).all()


def test_the_inverse_restores_the_source_grid(phantom):
    rgb, label, _, _ = phantom
    item = PREPARE({"image": frame(rgb), "label": frame(label[None])})
    item["pred"] = MetaTensor(torch.rand(3, *item["image"].shape[1:]) + 0.1)
    top, below, left, beyond = item["image"].applied_operations[-1]["extra_info"]["cropped"]
    assert min(top, below, left, beyond) > 0
    inside = slice(top, rgb.shape[1] - below), slice(left, rgb.shape[2] - beyond)
    restored = Invertd("pred", transform=PREPARE, orig_keys="image", nearest_interp=False)(item)["pred"]
    assert restored.shape[1:] == rgb.shape[1:]
    assert torch.equal(restored[:, *inside].as_tensor(), item["pred"].as_tensor())
    assert torch.equal(restored.affine, frame(rgb).affine)
    outside = torch.ones(rgb.shape[1:], dtype=torch.bool)
    outside[inside] = False
    assert not restored.as_tensor()[:, outside].any()
    assert not restored.as_tensor().argmax(dim=0)[outside].any()


def test_label_and_image_share_one_crop_and_the_affine_points_to_their_place():
    image, label = panels((50, 90, 250, 350)), np.arange(300 * 400, dtype=np.int32).reshape(1, 300, 400)
    item = CropToTissued(("image", "label"))({"image": frame(image), "label": frame(label)})
    first = int(item["label"][0, 0, 0])
    top, left = divmod(first, 400)
    assert item["image"].shape == item["label"].shape
    assert (
        item["image"].numpy()
        == image[:, top : top + item["image"].shape[1], left:][..., : item["image"].shape[2]]
    ).all()
    for entry in item.values():
        assert entry.affine[:2, 3].tolist() == pytest.approx([0.4 * top, 0.3 * left])
        assert entry.affine.diag()[:2].tolist() == pytest.approx([0.4, 0.3])


def test_the_box_of_the_image_rules_the_box_of_the_label():
    image, label = (
        frame(panels((50, 90, 250, 350)), tissue_box=[10, 20, 110, 220]),
        frame(panels((0, 0, 90, 90))),
    )
    item = CropToTissued(("label", "image"))({"image": image, "label": label})
    assert item["image"].shape == item["label"].shape == (1, 100, 200)


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ((-20, -5, 120, 130), (0, 0, 120, 130)),
        ((200, 300, 900, 900), (200, 300, 300, 400)),
        ((-5, -5, 900, 900), (0, 0, 300, 400)),
    ],
)
def test_a_box_that_reaches_out_of_the_image_is_cut_at_its_edge(box, place):
    image = panels((0, 0, 300, 400))
    cropper = CropToTissue()
    source = frame(image, tissue_box=list(box))
    crop = cropper(source)
    assert source.meta["tissue_box"] == list(box)
    top, left, bottom, right = place
    assert (crop.numpy() == image[:, top:bottom, left:right]).all()
    restored = cropper.inverse(crop)
    assert restored.shape == image.shape
    assert restored.meta["tissue_box"] == list(box)


def test_a_box_beside_the_image_does_not_count():
    image = frame(panels((50, 90, 250, 350)), tissue_box=[400, 500, 500, 600])
    assert CropToTissue().box(image) == CropToTissue().box(frame(image.as_tensor()))


def test_the_box_moves_with_the_crop_so_that_blanking_can_follow_or_precede():
    image = write(write(panels((60, 120, 240, 300)), (45, 140)), (320, 280))
    box = [40, 40, 260, 360]
    crop, blank = CropToTissue(), BlankOutsideTissue()
    after, before = (blank(crop(frame(image, tissue_box=box))), crop(blank(frame(image, tissue_box=box))))
    assert torch.equal(after.as_tensor(), before.as_tensor())
    assert not after[:, :, :60].any()
    assert after.meta["tissue_box"] == [0, 0, 220, 320]


def test_tissue_that_fills_the_frame_is_left_alone():
    image = frame(speckle(224, 224)[None])
    assert CropToTissue()(image).shape == image.shape
    assert torch.equal(BlankOutsideTissue()(image).as_tensor(), image.as_tensor())


@pytest.mark.parametrize("level", [0, 17, 255])
@pytest.mark.parametrize("size", [(224, 224), (480, 640), (1, 1), (5, 300)])
def test_a_frame_without_tissue_is_left_alone(level, size):
    image = frame(np.full((3, *size), level, dtype=np.uint8))
    assert CropToTissue()(image).shape == image.shape
    assert torch.equal(BlankOutsideTissue()(image).as_tensor(), image.as_tensor())


def test_text_alone_is_not_taken_for_tissue():
    image = write(write(np.zeros((1, 300, 400), np.uint8), (20, 20)), (200, 200))
    assert find_tissue(image, 255).all()


@pytest.mark.parametrize("background", [0, 40, 255])
def test_dark_fluid_stays_and_any_flat_background_goes(background):
    image = panels((60, 80, 260, 340), background=background)
    image[0, 120:200, 150:260] = 0
    mask = find_tissue(write(image, (10, 10)), 255)
    assert mask[60:260, 80:340].all()
    assert not mask[:40].any()
    assert mask.mean() < 0.55


def test_both_panels_of_a_dual_image_stay_and_a_thumbnail_goes():
    image = panels((60, 20, 260, 170), (70, 230, 260, 380), (10, 10, 40, 40))
    mask = find_tissue(image, 255)
    assert mask[60:260, 20:170].all()
    assert mask[70:260, 230:380].all()
    assert not mask[:40].any()
    assert not mask[60:260, 190:210].any()


def test_a_sector_cut_off_by_the_frame_stays_whole_at_the_edge():
    rows, columns = np.mgrid[:300, :400]
    sector = (np.abs(columns - 330) < 0.6 * (rows + 60)) & (np.hypot(rows + 60, columns - 330) < 340)
    image = write(np.where(sector, speckle(300, 400), 0).astype(np.uint8)[None], (5, 5))
    mask = find_tissue(image, 255)
    assert mask[sector].all()
    assert not mask[:20, :100].any()


def test_lettering_in_the_notch_above_a_curved_face_goes_and_no_tissue_does():
    rows, columns = np.mgrid[:400, :600]
    depth = np.hypot(rows + 60, columns - 300)
    sector = (np.abs(columns - 300) < rows + 60) & (depth > 150) & (depth < 400)
    tissue = np.where(sector, speckle(400, 600), 0).astype(np.uint8)[None]
    noted = write(tissue, (285, 52), "20Hz")
    text = (noted != tissue)[0]
    mask = find_tissue(noted, 255)
    assert text.sum() > 50
    assert not mask[text].any()
    assert mask[sector].all()


def test_what_looks_like_lettering_amid_echoes_stays():
    rows, columns = np.mgrid[:400, :600]
    sector = (np.abs(columns - 300) < rows + 60) & (rows > 60) & (np.hypot(rows + 60, columns - 300) < 400)
    image = np.where(sector, speckle(400, 600), 0).astype(np.uint8)[None]
    image[0, 80:120, 250:350] = 0  # no echo below the face, but for a small reflector within
    image[0, 96:101, 298:303] = 220
    mask = find_tissue(image, 255)
    assert mask[sector].all()


def test_the_dark_lower_corners_of_a_linear_probe_stay():
    image = panels((40, 100, 280, 300))
    depth, across = np.mgrid[:240, :200]
    image[0, 40:280, 100:300][np.abs(across - 100) > 220 - 0.7 * depth] = 0
    assert find_tissue(image, 255)[40:280, 100:300].all()


def test_a_sector_without_echoes_is_told_from_the_background_by_its_fill():
    image = panels((40, 100, 120, 300))
    image[0, 120:260, 100:300] = 1
    mask = find_tissue(write(image, (10, 150)), 255)
    assert mask[40:260, 100:300].all()
    assert not mask[:, :80].any()


def test_sixteen_bits_show_what_eight_bits_show():
    image = write(panels((60, 80, 260, 340)), (10, 10))
    assert (find_tissue(image.astype(np.int32) * 257, 65535) == find_tissue(image, 255)).all()


def test_blanking_keeps_type_metadata_and_the_input():
    source = frame(write(panels((60, 80, 260, 340)), (10, 10)).astype(np.int32), case="c1")
    copy = source.clone()
    seen = BlankOutsideTissue()(source)
    assert isinstance(seen, MetaTensor)
    assert (seen.dtype, seen.meta["case"]) == (torch.int32, "c1")
    assert torch.equal(source.as_tensor(), copy.as_tensor())
    assert not torch.equal(seen.as_tensor(), source.as_tensor())


def test_a_plain_tensor_is_cropped_and_blanked_as_well():
    image = torch.from_numpy(write(panels((60, 80, 260, 340)), (10, 10)))
    assert not BlankOutsideTissue()(image)[:, :40].any()
    assert CropToTissue()(image).shape[1] < 240


def test_a_margin_widens_the_box_up_to_the_frame():
    image = frame(panels((60, 80, 260, 340)))
    top, left, bottom, right = CropToTissue().box(image)
    assert CropToTissue(margin=5).box(image) == (top - 5, left - 5, bottom + 5, right + 5)
    assert CropToTissue(margin=500).box(image) == (0, 0, 300, 400)


def test_a_label_of_another_size_is_refused():
    item = {"image": frame(panels((60, 80, 260, 340))), "label": frame(np.zeros((1, 300, 401), np.uint8))}
    with pytest.raises(GeometryError, match=r"300 x 400.*300 x 401"):
        CropToTissued(("image", "label"))(item)


@pytest.mark.parametrize("transform", [CropToTissue(), BlankOutsideTissue()])
def test_a_volume_is_refused(transform):
    with pytest.raises(GeometryError, match="4 axes"):
        transform(torch.zeros(1, 20, 20, 20))


@pytest.mark.parametrize(
    "make", [lambda: CropToTissued(("image", "label"), margin=2), lambda: BlankOutsideTissued("image")]
)
def test_equal_transforms_have_equal_bytes(make):
    transform = make()
    assert (
        pickle_hashing(transform)
        == pickle_hashing(make())
        == pickle_hashing(pickle.loads(pickle.dumps(transform)))
    )
    image = frame(write(panels((60, 80, 260, 340)), (10, 10)))
    before = pickle_hashing(transform)
    transform({"image": image, "label": image})
    assert pickle_hashing(transform) == before


def test_real_frames_keep_what_is_bright_in_their_regions(shared_data):
    paths = [
        shared_data / "dicom" / "us" / name for name in ("gdcm-US-ALOKA-16.dcm", "US-YBR_FULL_422-EVRLE.dcm")
    ]
    for path in paths:
        image = LoadFramed("image")({"image": str(path)})["image"]
        crop = CropToTissue()(image)
        top, left, bottom, right = image.meta["tissue_box"]
        assert crop.shape[1:] == (bottom - top, right - left)
        blank = BlankOutsideTissue()(crop)
        assert float(blank.float().sum() / crop.float().sum()) > 0.93  # lettering is bright, and gone


def dark_sector(height, *, gain, letters):
    """A curved sector of smooth speckle, ``gain`` its mean, with names around it; where the text and the
    sector are."""
    width, scale = height * 4 // 3, height / 480
    rows, columns = np.mgrid[:height, :width]
    depth = np.hypot(rows + 60 * scale, columns - width / 2)
    sector = (
        (np.abs(columns - width / 2) < 0.7 * (rows + 60 * scale)) & (depth > 130 * scale) & (depth < height)
    )
    grain = gaussian_filter(
        np.random.default_rng(height).normal(size=(2, *sector.shape)), (0, scale + 0.2, 1.5 * scale)
    )
    echoes = np.hypot(*grain)
    picture = Image.new("L", (width, height))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(round(letters * height))
    draw.text((3, 3), "SENTINEL\nZYXWV 42", fill=255, font=font)
    draw.text((width - 4 * letters * height, 3), "12-03-19\n MI 0.9", fill=220, font=font)
    draw.text((3, 0.94 * height), "SENTINEL", fill=255, font=font)
    text = np.asarray(picture) * ~binary_dilation(sector, np.ones((3, 3)), iterations=round(0.06 * height))
    image = np.where(sector, np.clip(gain * echoes / echoes.mean(), 3, 255), text).astype(np.uint8)[None]
    return image, text > 0, sector


@pytest.mark.parametrize("height", [240, 360, 480, 600, 768, 960])
@pytest.mark.parametrize("gain", [15, 45, 110])
@pytest.mark.parametrize("letters", [0.035, 0.055])
def test_no_name_survives_around_a_sector_whatever_the_size_and_the_gain(height, gain, letters):
    image, text, sector = dark_sector(height, gain=gain, letters=letters)
    blanked = BlankOutsideTissue()(frame(image))
    assert text.sum() > 200
    assert not blanked[:, text].any()
    assert blanked.meta["tissue_clear"]
    assert find_tissue(image, 255)[sector].mean() >= 0.99


def test_a_linear_probe_reaches_the_lower_edge_of_its_region_and_the_note_there_goes():
    image = panels((0, 0, 150, 400))
    noted = write(image, (150, 240))
    mask = search_tissue(noted, 255, boxed=True).mask
    assert mask[image[0] > 0].all()
    assert mask[-1, [0, -1]].all()
    assert not mask[(noted != image)[0]].any()


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_said_whether_the_tissue_is_told_from_text(seed):
    nothing = np.zeros((1, 300, 400), np.uint8)
    assert not search_tissue(write(nothing, (20, 20)), 255).clear
    assert not BlankOutsideTissue()(frame(write(nothing, (20, 20)))).meta["tissue_clear"]
    assert search_tissue(speckle(224, 224, seed)[None], 255).clear
    small = np.zeros((1, 150, 200), np.uint8)
    small[0, 40:140, 30:170] = speckle(100, 140, seed)
    assert not search_tissue(small, 255).clear  # letters are as dense as speckle there
    assert search_tissue(small, 255, boxed=True).clear
    assert search_tissue(write(panels((60, 80, 260, 340)), (10, 10)), 255).clear


@pytest.mark.parametrize(
    ("name", "text", "tissue"),
    [
        (
            "examples_rgb_color.dcm",
            [(0, 0, 50, 320), (178, 0, 192, 320), (228, 0, 240, 320)],
            (56, 10, 165, 310),
        ),
        (
            "examples_ybr_color.dcm",
            [(0, 0, 30, 40), (15, 299, 240, 320), (226, 35, 240, 290)],
            (60, 130, 195, 190),
        ),
    ],
)
def test_the_names_in_small_frames_go_and_the_tissue_stays(name, text, tissue):
    image = LoadFramed("image")({"image": get_testdata_file(name) + "#frame_index=0"})["image"]
    mask = find_tissue(image, 255)
    for top, left, bottom, right in text:
        shown = (np.asarray(image).max(axis=0) > 60) & mask
        assert not shown[top:bottom, left:right].any()
    top, left, bottom, right = tissue
    assert mask[top:bottom, left:right].all()


def test_the_dark_depth_of_a_real_linear_probe_stays_and_the_note_in_it_goes(shared_data):
    path = shared_data / "dicom" / "us" / "US-YBR_FULL_422-EVRLE.dcm"
    item = PREPARE.transforms[0].cropper(LoadFramed("image")({"image": str(path)})["image"])
    seen = BlankOutsideTissue()(item)
    top, left = 75, 184
    echoes = search_tissue(item.numpy(), 255, boxed=True).mask
    assert echoes[400 - top : 470 - top, 200 - left : 700 - left].mean() > 0.99
    assert int(seen[:, 490 - top : 520 - top, : 270 - left].max()) < 40
