"""``python -m tests.bench.whole_body RESULTS``: what a tumour bundle marks in a whole body, by place, and
whether the SUV are plausible.

``RESULTS`` is the output of ``pyraseg predict`` on the whole-body FDG-PET series in ``../shared/data``. The
places are boxes of that series, drawn by hand on its projections. Prints Markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import Volume, read_series

__all__ = ["false_positives", "suv_check"]

SERIES = Path(__file__).parents[3] / "shared" / "data" / "dicom" / "pet" / "fdg_bqml_267slices"
PLACES = {  # voxels x, y, z, from 0: columns from the patient's right, rows from the front, slices from the feet
    "brain": ((40, 90), (30, 85), (250, 267)),
    "head and neck": ((40, 90), (20, 90), (215, 250)),
    "heart": ((64, 88), (46, 74), (162, 194)),
    "liver": ((34, 66), (40, 90), (138, 178)),
    "kidneys and ureters": ((44, 92), (50, 90), (70, 148)),
    "bladder": ((56, 78), (56, 86), (52, 70)),
}
LIVER, BLOOD = ((46, 60, 150), 15.0), ((62, 60, 200), 8.0)  # centre in voxels, radius in mm
BLADDER_THRESHOLD = 0.41  # of its maximum


def false_positives(labels: np.ndarray, reference: np.ndarray, volume: Volume) -> str:
    """A table of what was marked, by place: in the tumour, then beside it."""
    ml, left = volume.grid.voxel_ml, (labels > 0) & (reference == 0)
    common = np.count_nonzero((labels > 0) & (reference > 0))
    dice = 2 * common / max(1, np.count_nonzero(labels) + np.count_nonzero(reference))
    share = common / np.count_nonzero(reference)
    tumour = f"tumour (reference {np.count_nonzero(reference) * ml:.0f} ml)"
    rows = [f"| {tumour} | {common * ml:.0f} ml, {share:.0%} of it | | |"]
    components = ndimage.label(left, np.ones((3, 3, 3)))[0]
    for name, box in [*PLACES.items(), ("elsewhere", tuple((0, side) for side in labels.shape))]:
        place = tuple(slice(*span) for span in box)
        inside = left[place]
        number = len(np.unique(components[place][inside]))
        peak = float(volume.array[place][inside].max()) if inside.any() else float("nan")
        rows.append(f"| {name} | {np.count_nonzero(inside) * ml:.0f} ml | {number} | {peak:.1f} |")
        left[place] = False
    head = ["| place | marked | components | SUVmax |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, "", f"Dice over the whole body: {dice:.3f}."])


def suv_check(volume: Volume) -> str:
    """SUV where their usual size is known."""
    spacing = np.array(volume.grid.spacing)
    index = np.stack(np.meshgrid(*(np.arange(side) for side in volume.grid.shape), indexing="ij"), axis=-1)

    def sphere(centre: tuple[int, ...], radius: float) -> np.ndarray:
        return volume.array[(((index - np.array(centre)) * spacing) ** 2).sum(axis=-1) <= radius**2]

    liver, blood = sphere(*LIVER), sphere(*BLOOD)
    bladder = volume.array[tuple(slice(*span) for span in PLACES["bladder"])]
    bladder = bladder[bladder > BLADDER_THRESHOLD * bladder.max()]
    return "\n".join(
        [
            "| place | SUV |",
            "| --- | --- |",
            f"| liver, sphere of 3 cm | {liver.mean():.2f}, SD {liver.std():.2f} |",
            f"| blood pool of the mediastinum, sphere of 1.6 cm | {blood.mean():.2f} |",
            f"| bladder, above 41 % of its maximum | mean {bladder.mean():.1f}, maximum {bladder.max():.1f} |",
        ]
    )


def main(results: Path) -> str:
    volume = read_series(the_series(find_series(SERIES / "image")))
    drawn = read_drawn_labels(next((SERIES / "mask").iterdir()))
    reference, _ = drawn.label_map(volume.source, None)
    labels = np.asarray(nibabel.load(next(results.glob("items/*/labels.nii.gz"))).dataobj)
    return f"{suv_check(volume)}\n\n{false_positives(labels, reference, volume)}"


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
