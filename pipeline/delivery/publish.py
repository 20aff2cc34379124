"""A folder with a bundle and its weights, as MONAI's model zoo and Hugging Face take it."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from jinja2 import Environment, StrictUndefined

from pyraseg.pipeline.bundle.network_format import describe_network
from pyraseg.pipeline.delivery.info import SUMMARY, one_checkpoint, read_record, stated_info
from pyraseg.pipeline.evaluation.bootstrap import rate_in_words
from pyraseg.pipeline.inference.decision import point_in_words
from pyraseg.pipeline.networks.baselines import DEFAULT_NETWORK
from pyraseg.pipeline.networks.checkpoint import BEST, facts_of, find_state, read_checkpoint
from pyraseg.pipeline.prediction.bundle import METADATA, BundleConfig, load_bundle, read_bundle
from pyraseg.pipeline.utils.documents import DocumentError, read_text
from pyraseg.pipeline.utils.files import atomic_folder, sha256_of
from pyraseg.pipeline.writers.pages import read_part
from pyraseg.transforms.errors import CheckpointError, ConfigError, InputError

__all__ = ["publish"]

WEIGHTS = (f"models/{BEST}", "models/model.safetensors")
REQUIREMENT = "safetensors>=0.5"
READ = {"cases", "groups", "mean_dice", "interval", "notes", "operating_point", "calibration"}  # of a summary
RATES = ("missed", "false_alarms", "false_lesions")
VERSIONS = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}


def publish(
    bundle: str | Path,
    *,
    checkpoint: str | Path,
    evaluation: str | Path,
    data_license: str | Path,
    output: str | Path,
    url: str | None = None,
    tracking_uri: str | None = None,
) -> Path:
    """Write the bundle's configs, the weights, a card with the test's figures and the data's licence.

    Of the bundle its configs, LICENSE and own Python modules are taken, nothing else that lies there.

    Args:
        bundle: its folder; its configs are code, and are run once on the result.
        checkpoint: one, with the bundle's classes.
        evaluation: the folder of its evaluation on the test split.
        data_license: a text on what it was trained on, and what that allows.
        output: the new folder.
        url: where the folder's files will be had, for the zoo's ``large_files.yml``; None: no such file.
        tracking_uri: the MLflow store of a checkpoint's name there; None: that of the bundle's runs.

    Raises:
        CheckpointError: no checkpoint, several, one of other classes, or a ``last.pt``.
        InputError: an evaluation of other weights or of another split, or no text on the data.
        ConfigError: no bundle, one without a LICENSE, or a library that is missing.
        OutputError: the folder is in use or cannot be written.
    """
    if importlib.util.find_spec("safetensors") is None:
        remedy = f'Install it: pip install "{REQUIREMENT}".'
        raise ConfigError("the library safetensors", found="it is not installed", remedy=remedy)
    config = read_bundle(bundle)
    path = one_checkpoint(checkpoint, tracking_uri=tracking_uri, bundle_root=bundle)
    facts = stated_info(path)
    _require_same_classes(config, facts, path)
    licence, summary = _text_on_data(data_license), _test_of(evaluation, facts["sha256"])
    with atomic_folder(output) as draft:
        _copy(config, draft)
        _write_weights(path, draft, sha256=facts["sha256"])
        metadata = _metadata(config.metadata, facts, summary)
        _write(draft / METADATA, json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")
        _write(draft / "docs/data_license.txt", licence + "\n")
        hashes = {name: sha256_of(draft / name) for name in WEIGHTS}
        front, body = _card(metadata, facts, summary, hashes=hashes, notes=_limitations(config.folder))
        _write(draft / "README.md", front + body)
        _write(draft / "docs/README.md", body)
        if url is not None:
            _write(
                draft / "large_files.yml",
                yaml.safe_dump({"large_files": _downloads(url, hashes)}, sort_keys=False),
            )
        load_bundle(
            read_bundle(draft), checkpoints=[draft / WEIGHTS[0]], device="cpu"
        )  # what is handed on works
    return Path(output)


def _require_same_classes(config: BundleConfig, facts: Mapping[str, Any], path: Path) -> None:
    own, found = [segment["name"] for segment in config.metadata.get("segments", ())], facts["label_names"]
    if own != found:
        remedy = "Publish it with a bundle whose metadata and configs have its classes (docs/new-bundle.md)."
        wanted = f"a checkpoint of the bundle's classes, {', '.join(own)}"
        raise CheckpointError(wanted, found=", ".join(map(str, found)), remedy=remedy, path=path)


def _text_on_data(path: str | Path) -> str:
    try:
        text = read_text(path).strip()
    except (DocumentError, OSError) as error:
        text, found = "", str(error) if isinstance(error, DocumentError) else str(error.strerror)
    else:
        found = "an empty file"
    if not text:
        remedy = "Write whose data they are, under which licence, and what that allows (--data-license)."
        raise InputError("a text on the licence of the training data", found=found, remedy=remedy, path=path)
    return text


def _test_of(folder: str | Path, sha256: str) -> dict[str, Any]:
    """The summary of an evaluation, if it is of these weights, on the test split."""
    summary = read_record(Path(folder) / SUMMARY)
    evaluated = summary.get("evaluated") or {}
    found = {
        "split": evaluated.get("split"),
        "weights": evaluated.get("weights_sha256"),
        "classes": bool(summary.get("classes")) and summary.keys() >= READ,
    }
    wanted = {"split": "test", "weights": [sha256], "classes": True}
    words = {"split": "of the test split", "weights": "of these weights", "classes": "with results"}
    if unequal := [words[name] for name in wanted if found[name] != wanted[name]]:
        raise InputError(
            "an evaluation of these weights on the test split",
            found=f"one that is not {' and '.join(unequal)}, or does not say so",
            remedy="Run the bundle's evaluating on this checkpoint, and name its output_dir (--evaluation).",
            path=folder,
        )
    return summary


def _copy(config: BundleConfig, draft: Path) -> None:
    licences = sorted(config.folder.glob("LICENSE*"))
    if not licences:
        remedy = "Add the licence of its code as LICENSE."
        raise ConfigError("a bundle with a LICENSE", found="one without", remedy=remedy, path=config.folder)
    configs = (file for file in (config.folder / "configs").iterdir() if file.is_file())
    for file in sorted({*licences, *configs, *(p for p in config.sources if p.suffix == ".py")}):
        target = draft / file.relative_to(config.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _write_weights(path: Path, draft: Path, *, sha256: str) -> None:
    from safetensors.torch import save  # an optional library

    original, tensors = (draft / name for name in WEIGHTS)
    original.parent.mkdir()
    shutil.copyfile(path, original)
    if sha256_of(original) != sha256:
        raise CheckpointError(
            "a checkpoint at rest", found="one that is being written", remedy="Try again.", path=path
        )
    content = read_checkpoint(original)
    if not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise CheckpointError(
            "weights alone, as other tools load them",
            found="other things beside them, such as the state of a training",
            remedy="Publish a training's model.pt, and evaluate that.",
            path=path,
        )
    state = {name: value.contiguous() for name, value in find_state(content, path=path).items()}
    said = {name: facts_of(content).get(name) for name in ("label_names", "input_size", "network")}
    tensors.write_bytes(save(state, metadata={"format": "pt", "pyraseg": json.dumps(said)}))


def _metadata(
    declared: Mapping[str, Any], facts: Mapping[str, Any], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """The bundle's metadata, true for these weights."""
    own = describe_network(
        declared,
        label_names=facts["label_names"],
        input_size=facts["input_size"],
        in_channels=facts["network"]["in_channels"],
    )
    dice = {f"dice_{name}": found["dice"]["group_mean"] for name, found in summary["classes"].items()}
    own["eval_metrics"] = {"mean_dice": summary["mean_dice"], **dice}
    own["data_source"] = f"{_trained_on(facts)}; see docs/data_license.txt"
    if own.get("prediction") and not own["prediction"].get("trained_on"):
        own["prediction"]["trained_on"] = _trained_on(facts)
    versions = facts["trained_on"]["versions"] or {}
    return own | {key: versions[name].partition("+")[0] for name, key in VERSIONS.items() if name in versions}


def _trained_on(facts: Mapping[str, Any]) -> str:
    counts = facts["trained_on"]["data"] or {}
    if "training_frames" not in counts:
        return "images whose number the checkpoint does not say"
    return f"{counts['training_frames']} images of {counts['training_groups']} patients or groups"


def _card(
    metadata: Mapping[str, Any],
    facts: Mapping[str, Any],
    summary: Mapping[str, Any],
    *,
    hashes: Mapping[str, str],
    notes: str,
) -> tuple[str, str]:
    """Hugging Face's front matter, and the text."""
    modality = next(iter(metadata["network_data_format"]["inputs"].values())).get("modality", "")
    front = {
        "library_name": "monai",
        "pipeline_tag": "image-segmentation",
        "license": "other",
        "license_name": "see-data-license",
        "license_link": "docs/data_license.txt",
        "tags": ["monai", "medical", "segmentation", str(modality).lower()],
    }
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"mean": _mean, "rate": rate_in_words}
    body = environment.from_string(read_part("pyraseg.pipeline.delivery", "card.md")).render(
        metadata=metadata,
        facts=facts,
        summary=summary,
        trained_on=_trained_on(facts),
        network=facts["network"].get("name", DEFAULT_NETWORK),
        same_data=summary["evaluated"].get("dataset_digest")
        == (facts["trained_on"]["dataset_digest"] or "none"),
        counts=facts["trained_on"]["data"] or {},
        points={
            name: point_in_words(found["threshold"], found["smallest"], unit=found["unit"])
            for name, found in summary["operating_point"].items()
            if name in facts["operating_point"]
        },
        rates=RATES,
        hashes=hashes,
        notes=notes,
    )
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n", body


def _mean(estimate: Mapping[str, Any] | None) -> str:
    """A mean over groups with its interval."""
    if not estimate or estimate.get("group_mean") is None:
        return "none"
    low, high = estimate.get("low"), estimate.get("high")
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{estimate['group_mean']:.3f}{interval}"


def _limitations(folder: Path) -> str:
    """What the bundle's own page says below "Limitations"."""
    try:
        text = read_text(folder / "docs" / "README.md")
    except (DocumentError, OSError):
        return ""
    found = re.search(r"^## Limitations\s*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1).strip() if found else ""


def _downloads(url: str, hashes: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"path": name, "url": f"{url.rstrip('/')}/{name}", "hash_val": digest, "hash_type": "sha256"}
        for name, digest in hashes.items()
    ]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
