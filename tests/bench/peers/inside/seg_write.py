"""``seg_write.py SERIES LABELS OUTPUT``, where highdicom is: seconds to make and save a binary SEG, as JSON."""

import json
import sys
import time
from pathlib import Path

import highdicom
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import dcmread
from pydicom.sr.codedict import codes

series, labels, output = map(Path, sys.argv[1:])
images = [dcmread(path, stop_before_pixels=True) for path in series.iterdir()]
images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
array = np.load(labels)
algorithm = highdicom.AlgorithmIdentificationSequence("a network", codes.DCM.ArtificialIntelligence, "1")
segments = [
    SegmentDescription(number, label, codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm,
                       "AUTOMATIC", algorithm)
    for number, label in enumerate(("tumour", "bone"), start=1)
]  # fmt: skip
began = time.perf_counter()
segmentation = Segmentation(
    images, array, "BINARY", segments, highdicom.UID(), 1, highdicom.UID(), 1, "maker", "model", "1", "0"
)
segmentation.save_as(output)
seconds = time.perf_counter() - began
print("\n" + json.dumps({"version": highdicom.__version__, "seconds": seconds}))
