"""``series_read.py FOLDER``, where dicom2nifti is: seconds from the folder to a NIfTI image in memory, as JSON."""

import importlib.metadata
import json
import sys
import time

from dicom2nifti.convert_dicom import dicom_series_to_nifti

began = time.perf_counter()
image = dicom_series_to_nifti(sys.argv[1], None, reorient_nifti=False)["NII"]
voxels = image.get_fdata(dtype="float32")  # what is read is looked at
seconds = time.perf_counter() - began
facts = {"version": importlib.metadata.version("dicom2nifti"), "seconds": seconds, "shape": voxels.shape}
print("\n" + json.dumps(facts))
