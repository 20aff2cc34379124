"""Generate a phantom, train the ultrasound bundle on it, evaluate, predict; print every command before it
runs."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo"
BUNDLE = "bundles/us_hydronephrosis"
# What makes the training short: the same network, classes, code and config, other numbers.
OVERRIDES = (
    "--input_size [192,256] --batch_size 4 --max_epochs 9 --val_interval 9 "
    "--warmup_epochs 1 --learning_rate 0.001 --batch_dice true --augmentation_probability 0.3 --num_workers 1"
)


def main() -> int:
    if DEMO.exists():
        shutil.rmtree(DEMO)
    tracking = f"--tracking_uri sqlite:///{os.path.relpath(DEMO, ROOT)}/mlruns.db"
    common = f"--bundle_root {BUNDLE} --dataset_dir demo/phantom {tracking}"
    monai = "python -m monai.bundle run"
    start = time.monotonic()
    step("1. A phantom: real DICOM ultrasound files, labels, a split by patient")
    run("pyraseg phantom --modality us --cases 60 --seed 0 --output demo/phantom")
    step("2. Training. Overrides make the shipped configuration small:\n    " + OVERRIDES)
    config = f"{BUNDLE}/configs/train.yaml"
    run(
        f"{monai} training --config_file {config} {common} --output_dir demo/models "
        f"--cache_dir demo/cache {OVERRIDES}"
    )
    step("3. Evaluation on the test patients")
    configs = f"['{config}','{BUNDLE}/configs/evaluate.yaml']"
    checkpoint = "--checkpoint demo/models/model.pt"
    run(
        f'{monai} evaluating --config_file "{configs}" {common} {checkpoint} --cache_dir demo/cache '
        "--output_dir demo/evaluation"
    )
    step("4. Batch inference over DICOM files: SEG, SR, NIfTI, overlays, tables, a report")
    files = " ".join(f"demo/phantom/images/case_000{number}.dcm" for number in (1, 2, 3))
    run(f"pyraseg predict {files} --bundle {BUNDLE} {checkpoint} --output demo/predictions")
    report(
        time.monotonic() - start, f"{monai} training --config_file {config} {common} --output_dir runs/full"
    )
    return 0


def step(title: str) -> None:
    print(f"\n=== {title}", flush=True)


def run(command: str) -> None:
    print(f"$ {command}\n", flush=True)
    name, *arguments = shlex.split(command)
    subprocess.run([Path(sys.executable).parent / name, *arguments], cwd=ROOT, check=True)


def report(seconds: float, full: str) -> None:
    summary = json.loads((DEMO / "evaluation" / "summary.json").read_text())
    step(f"Done in {seconds / 60:.1f} minutes")
    for name in ("kidney", "hydronephrosis"):
        dice = summary["classes"][name]["dice"]["frame_mean"]
        print(f"  Dice {name:15} {dice:.3f} (mean over test frames that show it)")
    print(
        "\nLook at\n"
        "  demo/evaluation/overlays.png    test frames: prediction filled, reference as a line\n"
        "  demo/evaluation/cases.csv       scores per frame\n"
        "  demo/predictions/report.html    every item: picture, quantities, files (SEG, SR, NIfTI, overlay)\n"
        "  make mlflow                     the run in MLflow, on http://127.0.0.1:5000\n"
        f"\nThe shipped configuration, unshortened:\n  {full}"
    )


if __name__ == "__main__":
    sys.exit(main())
