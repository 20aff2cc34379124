"""Checkpoints by their names in MLflow: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``runs:/ID``.

All of them lead to the ``checkpoints/model.pt`` of a training's run, which is fetched once and known by its
SHA-256; never to a pickle.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.exceptions import MlflowException

from pyraseg.pipeline.networks.checkpoint import BEST
from pyraseg.pipeline.tracking.logged_model import EVALUATED, SHA256, TRAINED
from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.tracking.store import READABLE, READABLE_REMEDY, all_pages, read_store
from pyraseg.pipeline.utils.errors import did_you_mean
from pyraseg.pipeline.utils.files import private_folder, sha256_of, user_cache
from pyraseg.transforms.errors import CheckpointError

__all__ = ["StoredCheckpoint", "fetch_checkpoint", "find_checkpoint", "pinned", "registered_model"]

ARTIFACT = f"checkpoints/{BEST}"
FORMS = re.compile(
    r"models:/(?P<name>[^/:]+)(?:@(?P<alias>[^/:@]+)|/(?P<version>\d+))|runs:/(?P<run>[0-9a-f]{32})"
)
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
ROOT_REMEDY = "Set the environment variable XDG_CACHE_HOME to a folder of yours."


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint in a MLflow store.

    Attributes:
        reference: a name of it that never moves, ``models:/kidney/3`` or ``runs:/ID``.
        run_id: of its training.
        sha256: of its content.

    >>> StoredCheckpoint("models:/kidney/3", run_id="0" * 32, sha256="1" * 64).model
    'kidney version 3'
    """

    reference: str
    run_id: str
    sha256: str

    @property
    def version(self) -> str:
        """The number of the model's version; of a run its ID."""
        return self.reference.rpartition("/")[2]

    @property
    def model(self) -> str:
        """Model and version for people, or the training's run."""
        kind, _, name = self.reference.rpartition("/")[0].partition(":/")
        return f"{name} version {self.version}" if kind == "models" else f"MLflow run {self.version}"


def fetch_checkpoint(reference: str, *, tracking_uri: str) -> tuple[Path, StoredCheckpoint]:
    """The local file of a checkpoint in a store, ``$XDG_CACHE_HOME/pyraseg/checkpoints/SHA256/model.pt``.

    It is copied there once; the store is asked each time what a name stands for.

    Raises:
        TrackingError: the store cannot be read.
        CheckpointError: nothing of this name, or its file is gone or is another than was trained.
        OutputError: the cache cannot be written.
    """
    with read_store(tracking_uri) as client:
        stored = find_checkpoint(client, reference)
        root = private_folder(user_cache() / "checkpoints", remedy=ROOT_REMEDY)
        file = root / stored.sha256 / BEST
        if not file.is_file() or sha256_of(file) != stored.sha256:
            _download(client, stored, file)
    return file, stored


def pinned(reference: str, *, tracking_uri: str) -> str:
    """What a name stands for now, as one that never moves: an alias becomes its version.

    Raises:
        TrackingError, CheckpointError: as `fetch_checkpoint`.
    """
    with read_store(tracking_uri) as client:
        return find_checkpoint(client, reference).reference


def find_checkpoint(client: Any, reference: str) -> StoredCheckpoint:
    """Look up a name, and which checkpoint its training made.

    Raises:
        CheckpointError: another form of name, or nothing of this name.
    """
    parts = FORMS.fullmatch(reference)
    if parts is None:
        remedy = (
            "Write models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID, with the ID of a training's run."
        )
        raise CheckpointError("a model of MLflow's", found=repr(reference), remedy=remedy)
    with store_errors(READABLE, remedy=READABLE_REMEDY):
        if parts["run"]:
            return StoredCheckpoint(reference, parts["run"], _trained_by(client, parts["run"]))
        version = _version(client, parts["name"], parts["alias"], parts["version"])
        if not version.run_id:
            remedy = "Register networks with pyraseg promote, or name a training's run: runs:/ID."
            found = f"version {version.version}, which names no run"
            raise CheckpointError("a model version of a training", found=found, remedy=remedy)
        sha256 = version.tags.get(TRAINED, "") or _trained_by(client, version.run_id)
    pinned_name = f"models:/{version.name}/{version.version}"
    return StoredCheckpoint(pinned_name, version.run_id, _checked(sha256))


def registered_model(client: Any, name: str) -> Any:
    """A registered model with its aliases; None where there is none of this name."""
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        return None


def _version(client: Any, name: str, alias: str | None, number: str | None) -> Any:
    model = registered_model(client, name)
    if model is None:
        known = [each.name for each in all_pages(client.search_registered_models)]
        remedy = did_you_mean(name, known) or "Register one with pyraseg promote, or correct --tracking_uri."
        raise CheckpointError("a registered model of this store", found=repr(name), remedy=remedy)
    if alias is not None:
        aliases = dict(model.aliases)
        number = aliases.get(alias)
        if number is None:
            remedy = (
                did_you_mean(alias, aliases) or f"Set it: pyraseg promote --model {name} --alias {alias}."
            )
            raise CheckpointError(f"an alias of the model {name!r}", found=repr(alias), remedy=remedy)
    try:
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        wanted, found = f"a version of the model {name!r}", f"none with the number {number}"
        remedy = "Name another version, or an alias: models:/NAME@ALIAS."
        raise CheckpointError(wanted, found=found, remedy=remedy) from error


def _trained_by(client: Any, run_id: str) -> str:
    """The SHA-256 of the checkpoint that a run has logged."""
    wanted = "a training's run with its checkpoint"
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        remedy = "Correct the ID, or name the store with --tracking_uri."
        raise CheckpointError(wanted, found="no run of this ID in the store", remedy=remedy) from error
    if TRAINED in run.data.tags:
        return _checked(run.data.tags[TRAINED])
    if EVALUATED in run.data.tags:
        remedy = f"Name its training: the run whose tag {TRAINED} is this run's {EVALUATED}."
        raise CheckpointError(wanted, found="an evaluation's", remedy=remedy)
    remedy = "Name a training that has finished; one that crashed has logged none."
    raise CheckpointError(wanted, found="a run without", remedy=remedy)


def _checked(sha256: str) -> str:
    if not SHA256.fullmatch(sha256):  # a tag is anybody's, and becomes part of a path
        remedy = "Restore the tag as the training wrote it, or name another model."
        raise CheckpointError(f"a SHA-256 in the tag {TRAINED}", found="another text", remedy=remedy)
    return sha256


def _download(client: Any, stored: StoredCheckpoint, file: Path) -> None:
    wanted = f"the checkpoint of {stored.model}, SHA-256 {stored.sha256[:12]}"
    with TemporaryDirectory(dir=file.parent.parent, prefix=".fetched-") as folder:
        with store_errors(READABLE, remedy=READABLE_REMEDY):
            there = {entry.path for entry in client.list_artifacts(stored.run_id, str(Path(ARTIFACT).parent))}
            if ARTIFACT not in there:
                remedy = f"Restore the artifact {ARTIFACT} of its run, or name another model."
                raise CheckpointError(wanted, found="none: its file is gone", remedy=remedy)
            fetched = Path(client.download_artifacts(stored.run_id, ARTIFACT, folder))
        if (sha256 := sha256_of(fetched)) != stored.sha256:
            remedy = "Restore the artifact of its run; do not use what lies there: it was changed since."
            raise CheckpointError(wanted, found=f"one with SHA-256 {sha256[:12]}", remedy=remedy)
        private_folder(file.parent)
        os.replace(fetched, file)
