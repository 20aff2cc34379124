"""``rtstruct_write.py SERIES LABELS OUTPUT``, where rt-utils is: seconds to add two regions and save them, as JSON."""

import importlib.metadata
import json
import sys
import time

import numpy as np
from rt_utils import RTStructBuilder

series, labels, output = sys.argv[1:]
array = np.load(labels).transpose(1, 2, 0)
structures = RTStructBuilder.create_new(dicom_series_path=series)  # reads the series, and is not counted
began = time.perf_counter()
for value, name in enumerate(("tumour", "bone"), start=1):
    structures.add_roi(mask=array == value, name=name)
structures.save(output)
seconds = time.perf_counter() - began
print("\n" + json.dumps({"version": importlib.metadata.version("rt-utils"), "seconds": seconds}))
