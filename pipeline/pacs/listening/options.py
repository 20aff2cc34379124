"""The options of ``pyraseg listen``, from its command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pyraseg.pipeline.pacs.listening.listener import IMAGES, OUTBOX, Listening
from pyraseg.pipeline.pacs.listening.settings import Address
from pyraseg.pipeline.pacs.peers import Tls, parse_peer
from pyraseg.pipeline.prediction.job import Job, parse_job
from pyraseg.transforms.errors import UsageError

__all__ = ["parse_listening"]

# What `predict` has beside: inputs come, results are continued, one bundle's options are not all's
GIVEN: dict[str, Any] = {
    "inputs": (), "operating_point": None, "probabilities": False, "earlier": None,
    "identify": False, "roi": None, "dry_run": False, "limit": None, "shard": "1/1", "resume": True,
    "overwrite": False, "overrides": [], "batch_size": None, "engine": "local", "ray_address": None,
    "ray_cores": None,
}  # fmt: skip


def parse_listening(arguments: argparse.Namespace) -> Listening:
    """The options of a command line, checked as far as possible without opening a bundle.

    Raises:
        UsageError: an invalid option, or certificates that cannot be read.
    """
    tls = {name: getattr(arguments, name) for name in ("tls_ca", "tls_cert", "tls_key")}
    if (tls["tls_ca"] or tls["tls_key"]) and not tls["tls_cert"]:
        remedy = "Name it with --tls-cert."
        raise UsageError("a certificate of ours, for TLS", found="none", remedy=remedy)
    peer_options = {**tls, "aet": arguments.ae_title, "insecure_http": arguments.insecure_http}
    return Listening(
        jobs=_jobs(arguments),
        output=Path(arguments.output),
        address=Address(
            arguments.ae_title,
            arguments.host,
            arguments.port,
            tuple(arguments.allow),
            Tls(tls["tls_ca"], tls["tls_cert"], tls["tls_key"]) if tls["tls_cert"] else None,
        ),
        peers=tuple(parse_peer(text, **peer_options) for text in arguments.return_to),
        quiet=arguments.quiet_seconds,
        drop_others=arguments.drop_others,
        metrics_port=arguments.metrics_port,
        archive=parse_peer(arguments.archive, **peer_options) if arguments.archive else None,
        commit=arguments.commit,
    )


def _jobs(arguments: argparse.Namespace) -> dict[str, Job]:
    """A job for each bundle; its results lie in a folder of the bundle's name."""
    if arguments.checkpoint and len(arguments.bundle) > 1:
        found, remedy = f"{len(arguments.bundle)}", "Put each one's weights into its models/model.pt."
        raise UsageError("one bundle, for --checkpoint", found=found, remedy=remedy)
    jobs: dict[str, Job] = {}
    for text in arguments.bundle:
        name = Path(text).absolute().name
        if name in (*jobs, IMAGES, OUTBOX) or not name or name.startswith("."):
            remedy = "Give each bundle's folder another name; results lie in one of the same name."
            raise UsageError("bundles of different names", found=f"{name!r} again", remedy=remedy)
        output = str(Path(arguments.output) / name)
        each = argparse.Namespace(**{**GIVEN, **vars(arguments), "bundle": text, "output": output})
        jobs[name] = parse_job(each)
    return jobs
