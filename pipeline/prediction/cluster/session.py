"""A connection to a Ray cluster, or a Ray of this run's own; without telemetry, dashboard or open ports."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from packaging.version import Version

from pyraseg.pipeline.utils.signals import handling
from pyraseg.transforms.errors import UsageError

__all__ = ["OLDEST", "ray_session"]

OLDEST = "2.60"
STORE = 100 * 2**20  # bytes for what travels: items and answers
SHORT = 40  # a longer folder's name leaves no room for those of Ray's sockets


@contextmanager
def ray_session(address: str | None) -> Iterator[Any]:
    """The module ``ray``, connected for the block.

    Args:
        address: HOST:PORT of a cluster that this machine belongs to; None starts Ray here and stops it: on
            loopback, with a token that only its own processes know.

    Raises:
        UsageError: Ray is not installed or too old, or there is no such cluster.
    """
    with _environment({"RAY_USAGE_STATS_ENABLED": "0", **({} if address else _alone())}):
        ray = _import_ray()
        with handling(signal.getsignal(signal.SIGTERM), [signal.SIGTERM]):  # Ray puts one of its own there
            short = "/tmp" if len(tempfile.gettempdir()) > SHORT else None
            folder = None if address else tempfile.mkdtemp(prefix="ray-", dir=short)
            try:
                _connect(ray, address, folder)
                yield ray
            finally:
                ray.shutdown()
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)


def _alone() -> Mapping[str, str]:
    """The switch by which Ray keeps to loopback is named after the systems where that is its default."""
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


def _import_ray() -> Any:
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        remedy = 'Install it: pip install "pyraseg[ray]"; or leave --engine out.'
        raise UsageError("the library ray, for --engine ray", found="none", remedy=remedy) from error
    if Version(ray.__version__) < Version(OLDEST):
        found, remedy = f"ray {ray.__version__}", 'Install a newer one: pip install "pyraseg[ray]".'
        raise UsageError(f"ray {OLDEST} or newer", found=found, remedy=remedy)
    return ray


def _connect(ray: Any, address: str | None, folder: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if folder is not None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE}
        options |= {"_temp_dir": folder}
    elif address is not None and "://" in address:
        remedy = "Start this command on a machine of the cluster, with --ray-address HOST:PORT."
        raise UsageError("the address of a cluster's head", found="one of a client's port", remedy=remedy)
    try:
        ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises what it likes, bare exceptions among it
        other = "version mismatch" in str(error).lower()
        where = "a cluster that answers" if address else "a Ray that starts on this machine"
        wanted = "a cluster of the same Ray and Python" if other else where
        found = "other versions" if other else f"none ({type(error).__name__})"
        remedy = "Start it with this environment's `ray start`." if other else "Check --ray-address."
        remedy = remedy if address else "Try again when the machine has less to do, or leave --engine out."
        raise UsageError(wanted, found=found, remedy=remedy) from error


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
