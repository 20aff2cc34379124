"""Move the alias of a registered model, one process at a time, where MLflow has no compare-and-swap.

A promotion first registers its candidate as a new version, tagged ``pending``: that is its claim. A store
gives out version numbers one after another, and none twice, so of several claims on an alias the lowest is
everywhere the first. Only the first may move the alias, and only while the alias points to the version that
its candidate was compared with. Each process looks at the claims before it looks at the alias, and a claim
ends after its alias has moved: so whoever sees no earlier claim sees what that claim has done.

Of any number of promotions that compared with the same champion, at most one moves the alias. Deleting a
version takes its claim away, from a process that is still running, too: an alias cannot point to what is not
there. Not seen is an alias that a person or another tool moves between the last look and the move, which is
the next request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlflow.exceptions import MlflowException

from pyraseg.pipeline.tracking.logged_model import TRAINED
from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.tracking.registry import registered_model
from pyraseg.pipeline.tracking.store import all_pages
from pyraseg.transforms.errors import PromotionError, TrackingError

__all__ = ["Claim", "Promotion", "claimed", "finish", "is_pending", "versions"]

STATE, PENDING, DONE = "pyraseg.promotion", "pending", "done"
ALIAS = "pyraseg.alias"
WANTED = "a model registry that takes the promotion"


@dataclass(frozen=True)
class Promotion:
    """What is to become of an alias.

    Attributes:
        name, alias: of the registered model.
        replaces: the version that the alias points to; empty without one.
        run_id, sha256: of the candidate's training and its checkpoint.
        source: of the new version's artifacts, ``runs:/ID/...``.
        tags: further ones of the new version.
    """

    name: str
    alias: str
    replaces: str
    run_id: str
    sha256: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Claim:
    """A new version that waits for its alias."""

    client: Any
    promotion: Promotion
    version: str

    def require_first(self) -> None:
        """Check that no other promotion came first.

        Raises:
            PromotionError: one did, or is under way.
            TrackingError: the store does not answer.
        """
        name, alias, own = self.promotion.name, self.promotion.alias, int(self.version)
        with store_errors(WANTED):
            waiting = [int(version.version) for version in _pending(self.client, name, alias)]
            now = _aliased(self.client, name, alias)
        if own not in waiting:
            remedy = "Promote the candidate again."
            raise PromotionError("the candidate's version", found="a deleted one", remedy=remedy)
        first = waiting[0]
        if first < own:
            remedy = (
                "Try again when it has ended. If its process is gone, promote its candidate again, which "
                f"goes on with it, or delete version {first} of the model on MLflow's page."
            )
            found = f"version {first}, which is being promoted"
            raise PromotionError(f"no other promotion to {alias!r}", found=found, remedy=remedy)
        if now != self.promotion.replaces:
            remedy = "Promote again: the candidate is then compared with that one."
            before = f"version {self.promotion.replaces}" if self.promotion.replaces else "no version"
            found = f"version {now}, which came in between" if now else "none"
            raise PromotionError(
                f"{before} as {alias!r}, as it was compared with", found=found, remedy=remedy
            )

    def take(self) -> None:
        """Let the alias point to the new version.

        Raises:
            PromotionError, TrackingError: as `require_first`.
        """
        self.require_first()
        with store_errors(WANTED):
            self.client.set_registered_model_alias(self.promotion.name, self.promotion.alias, self.version)
            finish(self.client, self.promotion.name, self.version)


@contextmanager
def claimed(client: Any, promotion: Promotion) -> Iterator[Claim]:
    """Register the candidate, or go on with the version that an interrupted promotion of it has left.

    If the block fails before the alias has moved, the version is deleted again.

    Raises:
        PromotionError: another promotion came first.
        TrackingError: the store refuses or goes away; what is left then is gone on with the next time.
    """
    with store_errors(WANTED):
        claim = Claim(client, promotion, _register(client, promotion))
    try:
        claim.require_first()
        yield claim
    except BaseException as error:  # Ctrl-C takes the claim back, too
        if not _withdraw(claim) and isinstance(error, TrackingError):
            remedy = f"{error.remedy} Then promote again, which goes on with version {claim.version}."
            raise TrackingError(error.wanted, found=error.found, remedy=remedy) from error
        raise


def finish(client: Any, name: str, version: str) -> None:
    """End the claim of a version that its alias points to."""
    client.set_model_version_tag(name, version, STATE, DONE)


def is_pending(version: Any) -> bool:
    """Whether a version is the claim of a promotion that has not ended."""
    return version.tags.get(STATE) == PENDING


def versions(client: Any, name: str) -> list[Any]:
    """All versions of a registered model; none where there is no such model."""
    quote = '"' if "'" in name else "'"
    return all_pages(client.search_model_versions, f"name={quote}{name}{quote}")


def _register(client: Any, promotion: Promotion) -> str:
    name, alias, sha256 = promotion.name, promotion.alias, promotion.sha256
    if registered_model(client, name) is None:
        with contextlib.suppress(
            MlflowException
        ):  # another process has just made it: else the next call says why
            client.create_registered_model(name)
    left = [v for v in _pending(client, name, alias) if v.tags.get(TRAINED) == sha256]
    if left:
        for key, value in promotion.tags.items():
            client.set_model_version_tag(name, left[0].version, key, value)
        return str(left[0].version)
    tags = {**promotion.tags, TRAINED: sha256, STATE: PENDING, ALIAS: alias}
    source, run_id = promotion.source, promotion.run_id
    made = client.create_model_version(name, source, run_id, tags=tags, await_creation_for=0)
    return str(made.version)


def _pending(client: Any, name: str, alias: str) -> list[Any]:
    """The versions that wait for an alias, the first one first."""
    there = versions(client, name)
    waiting = [v for v in there if is_pending(v) and v.tags.get(ALIAS) == alias]
    return sorted(waiting, key=lambda version: int(version.version))


def _aliased(client: Any, name: str, alias: str) -> str:
    model = registered_model(client, name)
    return "" if model is None else str(dict(model.aliases).get(alias, ""))


def _withdraw(claim: Claim) -> bool:
    """Delete the version, unless the alias points to it; False where the store does not tell."""
    client, name = claim.client, claim.promotion.name
    try:
        if _aliased(client, name, claim.promotion.alias) == claim.version:
            return False
        client.delete_model_version(name, claim.version)
    except Exception:  # the store has gone: whatever its libraries raise, the first error is told
        return False
    return True
