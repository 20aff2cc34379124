"""Read experiments, runs and files from a MLflow store, a sqlite file or a server; nothing is created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.tracking.store import READABLE, READABLE_REMEDY, all_pages, read_store
from pyraseg.pipeline.utils.errors import did_you_mean
from pyraseg.pipeline.writers.tables.text import clean
from pyraseg.transforms.errors import UsageError

__all__ = ["Logged", "Store", "StoredRun", "open_store"]


@dataclass(frozen=True)
class StoredRun:
    """A run in the store, without its files."""

    run_id: str
    name: str
    status: str
    started: int
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def parent(self) -> str:
        """The ID of the run above it; empty without one."""
        return self.tags.get("mlflow.parentRunId", "")


@dataclass(frozen=True)
class Logged:
    """One value of a metric; ``written`` is in milliseconds since 1970."""

    step: int
    value: float
    written: int


@dataclass(frozen=True)
class Store:
    """An open store; every method raises TrackingError on failure."""

    client: Any

    def experiment_id(self, name: str) -> str:
        """The active experiment of this name.

        Raises:
            UsageError: there is none.
        """
        with store_errors(READABLE, remedy=READABLE_REMEDY):
            experiments = all_pages(self.client.search_experiments)
        for experiment in experiments:
            if experiment.name == name:
                return experiment.experiment_id
        known = [experiment.name for experiment in experiments]
        remedy = did_you_mean(name, known) or "Correct --experiment or --tracking_uri."
        raise UsageError("an experiment of this store", found=repr(name), remedy=clean(remedy))

    def runs(self, experiment_id: str) -> list[StoredRun]:
        """All runs that are not deleted, oldest first."""
        with store_errors(READABLE, remedy=READABLE_REMEDY):
            entries = all_pages(self.client.search_runs, [experiment_id])
        runs = (
            StoredRun(
                run.info.run_id,
                clean(run.info.run_name or run.info.run_id),
                run.info.status,
                int(run.info.start_time or 0),
                dict(run.data.params),
                dict(run.data.tags),
            )
            for run in entries
        )
        return sorted(runs, key=lambda run: (run.started, run.run_id))

    def history(self, run_id: str, metric: str) -> list[Logged]:
        """Every value of a run's metric; empty where it was not logged."""
        with store_errors(READABLE, remedy=READABLE_REMEDY):
            entries = self.client.get_metric_history(run_id, metric)
        return [Logged(int(entry.step), float(entry.value), int(entry.timestamp)) for entry in entries]

    def files(self, run_id: str, folder: str = "") -> dict[str, int | None]:
        """The paths of a run's artifacts in one folder, with their bytes where the store knows them."""
        with store_errors(READABLE, remedy=READABLE_REMEDY):
            entries = self.client.list_artifacts(run_id, folder or None)
        return {entry.path: entry.file_size for entry in entries}

    def fetch(self, run_id: str, path: str, folder: Path) -> Path:
        """Copy an artifact below ``folder`` and return the path of the copy."""
        target = folder / run_id
        target.mkdir(parents=True, exist_ok=True)
        with store_errors(READABLE, remedy=READABLE_REMEDY):
            return Path(self.client.download_artifacts(run_id, path, str(target)))


@contextmanager
def open_store(tracking_uri: str) -> Iterator[Store]:
    """Open a store for reading.

    Raises:
        TrackingError: none is there, or it does not answer.
    """
    with read_store(tracking_uri) as client:
        yield Store(client)
