"""A frame whose tissue cannot be told from text beside it gives no picture, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydicom import uid

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.prediction.bundle import read_bundle
from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.discovery.find_items import find_items
from pyraseg.pipeline.prediction.items.frame_results import FrameReading
from pyraseg.pipeline.prediction.items.outputs import NO_PICTURE, THUMBNAIL, Pictures, Written, write_outputs
from pyraseg.pipeline.prediction.progress import Stages
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
from pyraseg.transforms.io.paths import frame_paths
from tests.chains import frame_preprocessing
from tests.pipeline.prediction.runs import BUNDLE
from tests.transforms.dicom.conftest import image_dataset, set_native


def noted(*, tissue: bool) -> np.ndarray:
    """A frame (240, 320) with a name, and speckle beside it or none."""
    picture = Image.new("L", (320, 240))
    ImageDraw.Draw(picture).text((4, 4), "SENTINEL ZYXWV", fill=255)
    image = np.array(picture)
    if tissue:
        image[60:220, 60:280] = np.random.default_rng(0).integers(20, 200, (160, 220))
    return image


def written(folder: Path, *frames: np.ndarray) -> Written:
    dataset = image_dataset(list(frames), photometric="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian)
    set_native(dataset, list(frames))
    source = folder / "in"
    source.mkdir()
    dataset.save_as(source / "image.dcm", enforce_file_format=False)
    metadata = read_bundle(BUNDLE).metadata
    item = find_items([source], read_rules(metadata)).items[0]
    reading = FrameReading(frame_preprocessing(size=(96, 96)), frame_paths(item.source), item.case)
    views = [reading.view(index) for index in range(len(frames))]
    segments = resolve_segments(["background", "kidney", "hydronephrosis"], metadata["segments"])
    labels = np.zeros((len(frames), 240, 320), np.uint8)
    algorithm = Algorithm("name", "1", "0" * 64, "bundle")
    prediction = Prediction(item.source, item.case, labels, segments, algorithm)
    pictures = Pictures(views[0], lambda index: views[index])
    options = {
        "formats": ("overlay", "nifti"),
        "seg_type": "binary",
        "probabilities": False,
        "stages": Stages(),
    }
    return write_outputs(folder, prediction, pictures=pictures, **options)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_key_frame_without_tissue_to_tell_gives_no_picture_and_says_so(tmp_path, frames):
    done = written(tmp_path, *[noted(tissue=index > 0) for index in range(frames)])
    assert done.notes == (NO_PICTURE,)
    assert done.outputs == ("labels.nii.gz",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "labels.nii.gz"]


def test_a_frame_with_tissue_gives_its_pictures_without_a_note(tmp_path):
    done = written(tmp_path, noted(tissue=True), noted(tissue=False))
    assert done.notes == ()
    assert {"overlay.png", "cine.webp", "sheet.png", THUMBNAIL} <= set(done.outputs)


def test_the_view_of_a_frame_without_tissue_to_tell_is_black(tmp_path):
    source = np.stack([noted(tissue=False)])
    dataset = image_dataset(list(source), photometric="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian)
    set_native(dataset, list(source))
    dataset.save_as(tmp_path / "image.dcm", enforce_file_format=False)
    item = find_items([tmp_path], read_rules(read_bundle(BUNDLE).metadata)).items[0]
    preprocessing = frame_preprocessing(size=(96, 96))
    frame = FrameReading(preprocessing, [item.source.path], item.case).read(0, view=True)
    assert not frame.view.any()
    assert (
        len(frame.image.as_tensor().unique()) > 2
    )  # black, grey around it, and the name: the network sees all
