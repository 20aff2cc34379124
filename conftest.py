"""How tests are spread over processes, and the files of the examples in docstrings."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a folder share trainings and phantoms: pytest-xdist is to keep them in one process.

    With pytest 9.2 it does not, and says nothing: nobody reads the node IDs that it writes the groups into.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path.parent)))


@pytest.fixture(autouse=True, scope="session")
def _example_files(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    doctest_namespace: dict[str, Any],
) -> None:
    """Write them once, and only where examples run."""
    if not any(isinstance(item, pytest.DoctestItem) for item in request.session.items):
        return  # the imports below are for these files alone
    import nibabel
    import torch
    from PIL import Image
    from pydicom.uid import ExplicitVRLittleEndian

    from pyraseg.pipeline.comparison import Run, compare
    from pyraseg.transforms.dicom import find_series, read_series, the_series
    from tests.transforms.dicom.conftest import image_dataset, set_native, ultrasound_region
    from tests.transforms.dicom.label_cases import contour, write_structures
    from tests.transforms.dicom.series_cases import write_series

    os.environ.setdefault("PYRASEG_HASH_KEY", "the key of the examples")
    folder = tmp_path_factory.mktemp("examples")
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (2, 60, 80), np.uint8)
    region = ultrasound_region((0, 0, 59, 79), (0.05, 0.05))
    more = {"photometric": "MONOCHROME2", "syntax": ExplicitVRLittleEndian}
    cine = image_dataset(frames, **more, SequenceOfUltrasoundRegions=[region])
    set_native(cine, frames)
    cine.StudyInstanceUID, cine.SeriesInstanceUID = "2.25.1", "2.25.2"
    cine.save_as(folder / "cine.dcm", enforce_file_format=True)
    Image.fromarray(frames[0]).save(folder / "picture.png")
    series = write_series(folder / "series")
    volume = read_series(the_series(find_series(series)))
    for name, array in (("volume", volume.array), ("mask", (volume.array > volume.array.mean()))):
        image = nibabel.Nifti1Image(array.astype(np.int16), volume.affine)
        nibabel.save(image, folder / f"{name}.nii.gz")
    source = volume.source
    outline = contour(volume.grid, [(1, 1), (5, 1), (5, 4), (1, 4)], at=2)
    write_structures(
        folder / "structures.dcm",
        {1: ("tumour", [outline])},
        series=source.series_instance_uid,
        frame_of_reference=source.frame_of_reference_uid,
    )
    measured = {
        "class": "kidney",
        "distance_unit": "px",
        "reference_pixels": "900",
        "predicted_pixels": "880",
    }
    measured |= {"area_error_pixels": "-20", "missed": "0", "false_positive": "0"}
    runs = [
        Run(
            name,
            name,
            scores=[
                measured | {"case": f"c{i}", "group": f"p{i}", "dice": f"{dice - i / 100}"} for i in range(6)
            ],
            trained_by=name,
            settings={"attention": name},
        )
        for name, dice in (("none", 0.85), ("cbam", 0.95))
    ]
    doctest_namespace |= {
        "comparison": compare(runs, resamples=50),
        "np": np,
        "torch": torch,
        "folder": str(folder),
        "cine": str(folder / "cine.dcm"),
        "series": str(series),
        "nifti": str(folder / "volume.nii.gz"),
        "mask": str(folder / "mask.nii.gz"),
        "picture": str(folder / "picture.png"),
        "structures": str(folder / "structures.dcm"),
    }
