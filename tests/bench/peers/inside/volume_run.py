"""``volume_run.py IMAGE NETWORK FACTS OUTPUT``, where MONAI is: a pipeline as the model zoo's bundles have it, from a
NIfTI volume to its label map on the same grid. FACTS is JSON: spacing, window, roi_size, overlap and windows a pass."""

import json
import sys

import monai
import torch
from monai.data import DataLoader, Dataset, decollate_batch
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

path, weights, text, output = sys.argv[1:]
facts = json.loads(text)
lowest, highest = facts["window"]
preprocessing = Compose([
    LoadImaged("image"),
    EnsureChannelFirstd("image"),
    Orientationd("image", "RAS", labels=[["L", "R"], ["P", "A"], ["I", "S"]]),
    Spacingd("image", facts["spacing"], mode="bilinear", padding_mode="border"),
    ScaleIntensityRanged("image", lowest, highest, 0, 1, clip=True),
])  # fmt: skip
postprocessing = Compose([
    Activationsd("pred", softmax=True),
    Invertd("pred", preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True),
    AsDiscreted("pred", argmax=True),
    SaveImaged("pred", output_dir=output, output_postfix="", separate_folder=False, resample=False,
               output_dtype="uint8", print_log=False),
])  # fmt: skip
network = torch.jit.load(weights).eval()
inferer = SlidingWindowInferer(facts["roi_size"], facts["batch"], facts["overlap"], mode="gaussian")
loader = DataLoader(Dataset([{"image": path}], preprocessing), batch_size=1)
with torch.inference_mode():
    for batch in loader:
        batch["pred"] = inferer(batch["image"], network)
        for item in decollate_batch(batch):
            postprocessing(item)
print("\n" + json.dumps({"version": monai.__version__}))
