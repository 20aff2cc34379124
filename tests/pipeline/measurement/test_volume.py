"""Quantities of volumes: worked values on drawn bodies, brute force on small arrays, reasons where there is
none."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage.measure import find_contours

from pyraseg.pipeline.measurement.axes import in_plane_axes
from pyraseg.pipeline.measurement.suv_peak import RADIUS_MM, sphere_peak, sphere_weights
from pyraseg.pipeline.measurement.volume import HU, SUVBW, VOLUME_MEASURES, measure_volume
from pyraseg.transforms.errors import ConfigError, GeometryError
from pyraseg.transforms.geometry.grid import VolumeGrid

NAMES = ["background", "tumour", "node"]
STEPS = {
    "fine": np.diag([1.0, 1.0, 1.0]),
    "anisotropic": np.diag([0.8, 1.3, 5.0]),
    "oblique": Rotation.from_euler("xyz", [20, 35, 50], degrees=True).as_matrix() @ np.diag([2.0, 2.5, 3.0]),
    "sheared": np.array([[2.0, 0.7, 0.3], [0.0, 1.8, 0.9], [0.0, 0.0, 2.6]]),
}
EVERY_GRID = pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())


def positions(shape, steps) -> np.ndarray:
    """(X, Y, Z, 3) in mm."""
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ np.asarray(steps).T


def ball(radius_mm: float, steps, *, margin_mm: float = 8.0) -> np.ndarray:
    reach = (radius_mm + margin_mm) * np.linalg.norm(np.linalg.inv(steps), axis=1)
    shape = 2 * np.ceil(reach).astype(int) + 1
    away = positions(shape, steps) - np.asarray(steps) @ (shape // 2)
    return np.linalg.norm(away, axis=-1) <= radius_mm


def affine(steps) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = steps
    matrix[:3, 3] = (-120.0, 45.0, 7.0)
    return matrix


def quantities(mask, image=None, *, steps=STEPS["fine"], image_unit="", measures=tuple(VOLUME_MEASURES)):
    declared = [{"name": name, "measure": name, "segments": ["tumour"]} for name in measures]
    options = {"label_names": NAMES, "declared": declared, "affine": affine(steps), "image_unit": image_unit}
    return {item.name: item for item in measure_volume(mask.astype(np.uint8), image, **options)}


def values(*arguments, **options):
    return {name: item.value for name, item in quantities(*arguments, **options).items()}


def noise(shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 2.0, shape).astype(np.float32)


class TestQuantities:
    @EVERY_GRID
    def test_a_ball_has_its_volume_and_its_diameter(self, steps):
        found = values(ball(18.0, steps), steps=steps)
        assert found["volume"] == found["metabolic_volume"]
        assert found["volume"] == pytest.approx(4 / 3 * math.pi * 1.8**3, rel=0.02)
        pixel = np.linalg.norm(steps[:, :2], axis=0).max()
        assert found["long_axis"] == pytest.approx(36, abs=pixel)
        assert found["short_axis"] == pytest.approx(36, abs=1.5 * pixel)

    def test_a_box_of_voxels_has_the_volume_of_its_voxels(self):
        mask = np.zeros((20, 20, 20), bool)
        mask[3:7, 4:9, 5:11] = True
        assert values(mask, steps=STEPS["anisotropic"])["volume"] == pytest.approx(120 * 0.8 * 1.3 * 5 / 1000)

    def test_statistics_of_hounsfield_units_are_those_of_the_segment_s_voxels(self):
        image = np.full((12, 12, 12), -1000, np.int16)
        mask = np.zeros(image.shape, bool)
        mask[2:4, 3, 3:5] = True
        image[mask] = [10, 20, 60, 70]
        found = values(mask, image, image_unit=HU)
        assert (found["hu_mean"], found["hu_sd"]) == (40.0, pytest.approx(math.sqrt(650)))

    def test_glycolysis_is_the_mean_times_the_volume(self):
        steps = STEPS["oblique"]
        mask = ball(12.0, steps)
        image = noise(mask.shape)
        found = values(mask, image, steps=steps, image_unit=SUVBW)
        assert found["suv_max"] == image[mask].max()
        assert found["suv_mean"] == pytest.approx(image[mask].mean(), rel=1e-6)
        assert found["total_lesion_glycolysis"] == pytest.approx(
            image[mask].sum() * 2 * 2.5 * 3 / 1000, rel=1e-6
        )

    def test_units_are_those_of_the_report(self):
        units = {name: item.unit for name, item in quantities(ball(10.0, STEPS["fine"])).items()}
        assert units["volume"] == units["metabolic_volume"] == "ml"
        assert units["long_axis"] == units["short_axis"] == "mm"
        assert units["hu_mean"] == units["hu_sd"] == "[hnsf'U]"
        assert units["suv_max"] == units["suv_mean"] == units["suv_peak"] == "g/ml{SUVbw}"
        assert units["total_lesion_glycolysis"] == "g"

    def test_other_segments_change_nothing(self):
        mask = ball(10.0, STEPS["fine"])
        image = noise(mask.shape)
        labels = np.where(mask, 1, np.where(image > 5, 2, 0))
        assert values(labels, image, image_unit=SUVBW) == values(mask, image, image_unit=SUVBW)

    def test_a_channel_in_front_and_a_mapped_image_change_nothing(self, tmp_path):
        mask = ball(10.0, STEPS["fine"])
        np.save(tmp_path / "image.npy", noise(mask.shape))
        image = np.load(tmp_path / "image.npy", mmap_mode="r")
        assert values(mask[None], image, image_unit=SUVBW) == values(
            mask, np.array(image)[None], image_unit=SUVBW
        )

    def test_a_volume_grid_gives_what_its_spacing_says(self):
        turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()
        grid = VolumeGrid((9, 9, 9), (5.0, 6.0, 7.0), *(tuple(axis) for axis in turn.T), (0.5, 0.5, 2.0))
        mask = np.zeros(grid.shape, np.uint8)
        mask[2:7, 4, 4] = 1
        declared = [
            {"name": name, "measure": name, "segments": ["tumour"]} for name in ("volume", "long_axis")
        ]
        found = measure_volume(mask, label_names=NAMES, declared=declared, affine=grid.affine)
        assert [item.value for item in found] == pytest.approx([5 * 0.5 / 1000, 2.5])


class TestAbsence:
    def test_without_a_voxel_sums_are_zero_and_the_rest_is_absent(self):
        found = quantities(np.zeros((9, 9, 9), bool), noise((9, 9, 9)), image_unit=SUVBW)
        sums = {"volume", "metabolic_volume", "total_lesion_glycolysis"}
        assert {name for name, item in found.items() if item.value == 0.0} == sums
        assert {found[name].reason for name in ("long_axis", "suv_peak", "suv_max")} == {
            "no tumour in the volume"
        }

    def test_a_segment_that_the_label_set_lacks_is_absent_and_never_zero(self):
        entry = {
            "name": "size",
            "measure": "volume",
            "segments": ["cyst"],
            "code": ["118565006", "SCT", "Volume"],
        }
        options = {"label_names": NAMES, "affine": np.eye(4)}
        (found,) = measure_volume(np.zeros((3, 3, 3), np.uint8), declared=[entry], **options)
        assert (found.value, found.reason, found.code.value) == (
            None,
            "the label set has no cyst",
            "118565006",
        )

    @pytest.mark.parametrize(("unit", "there"), [(HU, "hu_"), (SUVBW, "suv_"), ("", "none")])
    def test_values_in_another_unit_are_absent(self, unit, there):
        mask = ball(10.0, STEPS["fine"])
        found = quantities(mask, noise(mask.shape), image_unit=unit)
        for name in ("hu_mean", "hu_sd", "suv_max", "suv_mean", "suv_peak"):
            assert (found[name].value is not None) is name.startswith(there)
            assert bool(found[name].reason) is not name.startswith(there)

    def test_what_is_no_number_is_no_mean_but_the_volume_stays(self):
        mask = ball(10.0, STEPS["fine"])
        image = noise(mask.shape)
        image[tuple(np.argwhere(mask)[0])] = np.nan
        found = quantities(mask, image, image_unit=SUVBW)
        assert found["suv_mean"].value is None
        assert "no numbers" in found["suv_mean"].reason
        assert found["volume"].value > 0

    @pytest.mark.parametrize(
        "entry",
        [{"measure": "area", "segments": ["tumour"]}, {"measure": "volume", "segments": ["tumour", "node"]}],
        ids=str,
    )
    def test_a_declaration_that_cannot_be_followed_is_refused(self, entry):
        with pytest.raises(ConfigError):
            measure_volume(
                np.zeros((3, 3, 3), np.uint8),
                label_names=NAMES,
                declared=[{"name": "x", **entry}],
                affine=np.eye(4),
            )

    @pytest.mark.parametrize(
        ("labels", "image", "matrix"),
        [((3, 3), None, np.eye(4)), ((3, 3, 3), (3, 3, 4), np.eye(4)), ((3, 3, 3), None, np.zeros((4, 4)))],
        ids=["flat", "another grid", "no affine"],
    )
    def test_arrays_that_are_not_one_volume_are_refused(self, labels, image, matrix):
        image = None if image is None else np.zeros(image)
        with pytest.raises(GeometryError):
            measure_volume(np.zeros(labels, np.uint8), image, label_names=NAMES, declared=[], affine=matrix)


def outline_points(component, plane) -> np.ndarray:
    """The middles of all outer faces of a component (h, w), in mm."""
    padded, points = np.pad(component, 1), []
    for axis, side in product((0, 1), (1, -1)):
        outer = np.argwhere(padded & ~np.roll(padded, -side, axis)) - 1.0
        outer[:, axis] += side / 2
        points.append(outer)
    return np.concatenate(points) @ plane.T


def brute_axes(mask, steps) -> tuple[float, float]:
    """All pairs of points of all outlines; then lines 1/400 of the long axis apart, at right angles to it."""
    plane = np.linalg.qr(steps[:, :2], mode="r")
    found = []
    for z in range(mask.shape[2]):
        labels, number = ndimage.label(mask[:, :, z], np.ones((3, 3)))
        for component in (labels == index for index in range(1, number + 1)):
            points = outline_points(component, plane)
            between = points[:, None] - points
            lengths = np.linalg.norm(between, axis=-1)
            pairs = np.argwhere(lengths > lengths.max() - 1e-9)
            found += [(lengths.max(), component, between[tuple(pair)] / lengths.max()) for pair in pairs]
    longest = max(length for length, _, _ in found)
    return longest, max(brute_width(c, d, plane) for length, c, d in found if length > longest - 1e-9)


def brute_width(component, direction, plane) -> float:
    contours = find_contours(np.pad(component, 1).astype(float), 0.5, fully_connected="high")
    turned = [
        contour @ plane.T @ np.array([direction, [-direction[1], direction[0]]]).T for contour in contours
    ]
    a, b = (np.concatenate([part[s] for part in turned]) for s in (slice(-1), slice(1, None)))
    best = 0.0
    for t in np.linspace(a[:, 0].min(), a[:, 0].max(), 401):
        crossing = ((a[:, 0] - t) * (b[:, 0] - t) < 0) & (a[:, 0] != b[:, 0])
        one, other = a[crossing], b[crossing]
        across = one[:, 1] + (t - one[:, 0]) / (other[:, 0] - one[:, 0]) * (other[:, 1] - one[:, 1])
        best = max(best, np.ptp(across)) if len(across) else best
    return best


class TestAxes:
    @EVERY_GRID
    @pytest.mark.parametrize("density", [0.35, 0.75])
    def test_they_are_those_of_all_pairs_and_all_perpendiculars(self, steps, density):
        for seed in range(4):
            mask = np.random.default_rng(seed).random((9, 8, 3)) < density
            long_axis, short_axis = in_plane_axes(mask, steps)
            wanted = brute_axes(mask, steps)
            assert long_axis == pytest.approx(wanted[0])
            assert wanted[1] - 1e-9 <= short_axis <= wanted[1] + 0.15
            assert short_axis <= long_axis * (1 + 1e-9)

    @pytest.mark.parametrize("angle", [0, 17, 45, 90])
    def test_an_ellipse_has_its_own(self, angle):
        at = positions((120, 90, 1), np.diag([0.5, 0.7, 3.0]))[..., :2] - (30, 31)
        turned = at @ Rotation.from_euler("z", angle, degrees=True).as_matrix()[:2, :2]
        mask = (turned[..., 0] / 25) ** 2 + (turned[..., 1] / 11) ** 2 <= 1
        found = in_plane_axes(mask, np.diag([0.5, 0.7, 3.0]))
        assert found == (pytest.approx(50, abs=0.7), pytest.approx(22, abs=0.7))

    @pytest.mark.parametrize("shape", [(1, 1), (10, 1), (1, 10)], ids=str)
    def test_pixels_in_a_row_are_as_long_as_they_are_and_one_pixel_wide(self, shape):
        spacing = (0.5, 0.5)
        found = in_plane_axes(np.ones((*shape, 1), bool), np.diag([*spacing, 3.0]))
        assert found == pytest.approx((0.5 * max(shape), 0.5))

    def test_they_lie_in_a_slice_however_many_slices_a_lesion_has(self):
        mask = np.zeros((9, 9, 40), bool)
        mask[4, 4, :] = True
        mask[3:6, 4, 7] = True
        assert in_plane_axes(mask, np.eye(3)) == pytest.approx((3.0, 1.0))

    def test_components_far_apart_are_not_joined(self):
        mask = np.zeros((60, 20, 2), bool)
        mask[2:5, 3, 0] = mask[50:58, 9, 0] = True
        mask[2:9, 15, 1] = True
        assert in_plane_axes(mask, np.eye(3)) == pytest.approx((8.0, 1.0))

    def test_turning_the_volume_in_space_or_mirroring_it_changes_nothing(self):
        mask = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(40, 40, 6)), 3) > 0.01
        steps = np.diag([0.8, 1.1, 4.0])
        wanted = in_plane_axes(mask, steps)
        assert in_plane_axes(
            mask, Rotation.from_euler("xyz", [1, 2, 3]).as_matrix() @ steps
        ) == pytest.approx(wanted)
        for axis in range(3):
            assert in_plane_axes(np.flip(mask, axis), steps) == pytest.approx(wanted)


def brute_weights(steps, radius: float, *, samples: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (N, 3) of the voxels of a sphere and their parts in it, each asked at 12 x 12 x 12 points."""
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(steps), axis=1) + 0.5).astype(int)
    offsets = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    inner = (np.array(list(product(range(samples), repeat=3))) + 0.5) / samples - 0.5
    parts = [(np.linalg.norm((offset + inner) @ steps.T, axis=1) <= radius).mean() for offset in offsets]
    return offsets[np.array(parts) > 0], np.array(parts)[np.array(parts) > 0]


def brute_peak(mask, image, steps) -> float:
    offsets, parts = brute_weights(steps, 10 * (0.75 / math.pi) ** (1 / 3))
    means = []
    for voxel in np.argwhere(mask):
        at = voxel + offsets
        if (at >= 0).all() and (at < image.shape).all():
            means.append(np.average(image[tuple(at.T)], weights=parts))
    return max(means)


def peak(mask, image, steps) -> float | str:
    return sphere_peak(
        mask, (slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2])), image, steps
    )


class TestPeak:
    @pytest.mark.parametrize("name", ["anisotropic", "oblique", "sheared"])
    def test_it_is_the_highest_mean_of_all_spheres(self, name):
        steps = STEPS[name]
        for seed, density in ((0, 0.02), (1, 0.4)):
            shape = (2 * np.ceil(RADIUS_MM * np.linalg.norm(np.linalg.inv(steps), axis=1)) + 7).astype(int)
            mask = np.random.default_rng(seed).random(shape) < density
            image = noise(shape, seed)
            assert peak(mask, image, steps) == pytest.approx(brute_peak(mask, image, steps), rel=5e-3)

    @EVERY_GRID
    def test_the_sphere_has_one_cubic_centimetre_and_its_middle_in_the_middle(self, steps):
        weights = sphere_weights(steps)
        assert weights.sum() == pytest.approx(1)
        assert weights == pytest.approx(weights[::-1, ::-1, ::-1], abs=1e-4)
        voxel_mm3 = abs(np.linalg.det(steps))
        assert voxel_mm3 / weights.max() == pytest.approx(
            1000, rel=0.01
        )  # the weight of a voxel that lies all within

    def test_one_image_value_everywhere_is_the_peak(self):
        mask = ball(10.0, STEPS["sheared"])
        assert peak(mask, np.full(mask.shape, 7.25), STEPS["sheared"]) == pytest.approx(7.25)

    def test_of_a_hot_voxel_it_is_its_part_of_the_sphere(self):
        image = np.zeros((13, 13, 13))
        image[6, 6, 6] = 50.0
        mask = np.zeros(image.shape, bool)
        mask[6, 6, 7] = True  # the sphere around it holds its neighbour
        assert peak(mask, image, np.diag([2.0, 2.0, 2.0])) == pytest.approx(50 * 8 / 1000, rel=0.005)

    def test_of_a_slope_it_is_the_highest_voxel_of_the_lesion_with_a_whole_sphere(self):
        steps = np.diag([2.0, 2.0, 2.0])
        image = np.broadcast_to(np.arange(30.0)[:, None, None], (30, 15, 15))
        mask = np.zeros(image.shape, bool)
        mask[5:20, 7, 7] = True
        assert peak(mask, image, steps) == pytest.approx(19)
        mask[5:30, 7, 7] = True
        assert peak(mask, image, steps) == pytest.approx(
            26
        )  # 6.2 mm are 3.1 voxels, and the image ends at 29.5

    def test_lesions_far_apart_are_all_searched(self):
        image = np.ones((80, 15, 15))
        image[64:70, 5:11, 5:11] = 9.0
        mask = np.zeros(image.shape, bool)
        mask[8, 7, 7] = mask[67, 7, 7] = True
        found = peak(mask, image, np.diag([3.0, 3.0, 3.0]))
        mask[8, 7, 7] = False
        assert found == peak(mask, image, np.diag([3.0, 3.0, 3.0]))
        assert found > 8

    def test_a_lesion_at_the_image_s_edge_has_none(self):
        mask = np.zeros((20, 20, 20), bool)
        mask[8:12, 8:12, 18:] = True
        found = quantities(mask, np.ones(mask.shape), image_unit=SUVBW, steps=np.diag([2.0, 2.0, 2.0]))[
            "suv_peak"
        ]
        assert found.value is None
        assert "lies within the image" in found.reason

    @pytest.mark.parametrize("spacing", [(2.0, 2.0, 13.0), (11.0, 11.0, 11.0)], ids=str)
    def test_voxels_larger_than_the_sphere_have_none(self, spacing):
        found = peak(np.ones((9, 9, 9), bool), np.ones((9, 9, 9)), np.diag(spacing))
        assert found == "a voxel is larger than a sphere of 1 cm3"

    def test_what_is_no_number_beside_the_lesion_leaves_none(self):
        mask = np.zeros((30, 30, 30), bool)
        mask[15, 15, 15] = True
        image = np.ones(mask.shape)
        image[15, 15, 18] = np.nan
        assert "no numbers" in str(peak(mask, image, np.diag([2.0, 2.0, 2.0])))
        image[15, 15, 18], image[0, 0, 0] = 1.0, np.nan
        assert peak(mask, image, np.diag([2.0, 2.0, 2.0])) == pytest.approx(1)
