"""The Ignite metric of validation and evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from ignite.metrics import Metric
from monai.utils import convert_to_tensor
from torch import Tensor, nn

from pyraseg.pipeline.evaluation.calibration import CaseConfidence, count_confidence
from pyraseg.pipeline.evaluation.judgements import CaseJudgement, judge_case
from pyraseg.pipeline.evaluation.lesions import CaseLesions, compare_lesions
from pyraseg.pipeline.evaluation.quantities import (
    QuantityError,
    compare_quantities,
    image_units,
    source_values,
)
from pyraseg.pipeline.evaluation.scores import CaseScore, score_case, source_spacing
from pyraseg.pipeline.evaluation.summary import Results
from pyraseg.pipeline.evaluation.surfaces import TOLERANCE
from pyraseg.pipeline.trust.judge import JUDGEMENT, JudgeItems
from pyraseg.pipeline.utils.distributed import gather, is_main
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.io.reading_options import ReadingOptions

__all__ = ["PROBABILITIES", "SegmentationScores"]

SOURCE = "source"  # the item's entry with the path of its image
PROBABILITIES = "probabilities"  # the item's entry that SourceGridLabelsd fills
LOSS_VOXELS = (
    2**22
)  # more than a frame has: of a volume every n-th voxel along each axis is enough for a loss

logger = logging.getLogger(__name__)


class SegmentationScores(Metric):
    """Collects the records of every case and reports their summary.

    Its value is ``mean_dice``. The rest of the summary joins ``engine.state.metrics`` as ``<prefix>_<name>``,
    with ``<prefix>_loss``, the mean over the cases, and ``engine.state.results`` has the `Results`. It reads
    from the decollated output and batch, per item: ``pred`` and ``label`` (1, H, W) or (1, H, W, D), ``case``
    and ``group``, the spacing in the metadata and optional ``probabilities`` (K, H, W[, D]) on the same grid.

    Args:
        label_names: the classes, background first.
        prefix: of the metrics' names, such as "val" or "test".
        surfaces: whether to measure distances between surfaces, too slow for every epoch.
        tolerance: of surface Dice, by unit; see `surface_scores`.
        quantities: declarations of clinical quantities to compare; see `measure_frame` and `measure_volume`.
            A volume's values are read again from the path of the case in the data set. A volume without a
            unit, as NIfTI, is taken to be in the unit that the quantities need.
        lesions: whether to compare connected components, see `CaseLesions`. None: for volumes, with surfaces.
        resamples, seed: of the bootstrap; 0 resamples for no intervals.
        reading: how the series of volumes are read, as in the data set.
        loss: of logits (1, K, H, W[, D]) and labels (1, 1, H, W[, D]), on the labels' grid from the items'
            ``probabilities``; what lies outside the network's image is background there.
        judging: the handler that judges the items, whose warnings and intervals are held against the
            references; None for none.

    >>> metric, label = SegmentationScores(["background", "kidney"]), torch.ones(1, 8, 8)
    >>> metric.update([{"pred": label, "label": label, "case": "c1", "group": "g1"}])
    >>> metric.compute()
    1.0
    """

    def __init__(
        self,
        label_names: Sequence[str],
        *,
        prefix: str = "val",
        surfaces: bool = False,
        tolerance: Mapping[str, float] | None = None,
        quantities: Iterable[Mapping[str, Any]] = (),
        lesions: bool | None = None,
        resamples: int = 0,
        seed: int = 0,
        reading: ReadingOptions | None = None,
        loss: nn.Module | None = None,
        judging: JudgeItems | None = None,
    ) -> None:
        self.label_names = list(label_names)
        self.prefix = prefix
        self.surfaces = surfaces
        self.tolerance = dict(tolerance or TOLERANCE)
        self.declared = tuple(quantities)
        self.compares_lesions = lesions
        self.resamples = resamples
        self.seed = seed
        self.reading = reading
        self.loss = loss
        self.judging = judging
        self.losses: dict[str, float] = {}
        self.rows: list[CaseScore] = []
        self.confidences: list[CaseConfidence] = []
        self.quantities: list[QuantityError] = []
        self.lesions: list[CaseLesions] = []
        self.judged: list[CaseJudgement] = []
        self._results: Results | None = None
        self._said: tuple[str, ...] = ()
        super().__init__(output_transform=lambda output: output)

    def reset(self) -> None:
        self.rows, self.confidences, self.quantities, self.lesions = [], [], [], []
        self.losses, self.judged, self._results = {}, [], None

    def update(self, output: Sequence[Mapping[str, Any]]) -> None:
        self._results = None
        for item in output:
            case = str(item.get("case", f"case {len(self.rows)}"))
            self._add(item, case=case, group=str(item.get("group", case)))

    def _add(self, item: Mapping[str, Any], *, case: str, group: str) -> None:
        prediction, reference, spacing = item["pred"], item["label"], source_spacing(item)
        volume = reference.ndim == 4
        known: dict[str, Any] = {"label_names": self.label_names, "case": case, "group": group}
        distances: dict[str, Any] = {"surfaces": self.surfaces, "tolerance": self.tolerance}
        scores = score_case(prediction, reference, spacing_mm=spacing, **known, **distances)
        self.rows += scores
        if self.compares_lesions or (self.compares_lesions is None and self.surfaces and volume):
            self.lesions += compare_lesions(prediction, reference, spacing_mm=spacing, **known)
        if PROBABILITIES in item:
            self.confidences.append(count_confidence(item[PROBABILITIES], reference, **known))
            if self.loss is not None:
                self.losses[case] = _loss(self.loss, item[PROBABILITIES], reference)
        grid: dict[str, Any] = {"spacing_mm": spacing}
        if self.declared and volume:
            grid = {"affine": np.asarray(reference.affine.cpu())}
            if SOURCE in item and (units := image_units(self.declared)):
                unit = min(units) if len(units) == 1 else ""
                read: dict[str, Any] = {"case": case, "unit": unit, "reading": self.reading}
                grid["image"], grid["image_unit"] = source_values(item[SOURCE], **read)
        measured: Sequence[QuantityError] = ()
        if self.declared:
            measured = compare_quantities(prediction, reference, declared=self.declared, **known, **grid)
        self.quantities += measured
        if self.judging is not None and JUDGEMENT in item:
            self.judged.append(judge_case(self.judging.judge, item[JUDGEMENT], scores, measured))

    def iteration_completed(self, engine: Any) -> None:
        """Case and group are in the batch, the prediction in the output, the path in the data set."""
        pairs = zip(engine.state.batch, engine.state.output, strict=True)
        items: list[dict[str, Any]] = [{**batch, **output} for batch, output in pairs]
        if self.declared and items[0]["label"].ndim == 4:
            paths = {str(item["case"]): item["image"] for item in engine.data_loader.dataset.data}
            items = [{**item, SOURCE: paths[str(item["case"])]} for item in items]
        self.update(items)

    def gather(self) -> None:
        """Collect the records of all processes of a distributed run; every process calls it.

        A case that a sampler gave to two processes counts once.
        """
        records = (self.rows, self.confidences, self.quantities, self.lesions, self.judged)
        parts = gather((*records, [*self.losses.items()]))
        if len(parts) == 1:
            return
        rows, confidences, quantities, lesions, judged, losses = (
            list(chain.from_iterable(part)) for part in zip(*parts, strict=True)
        )
        self.losses = dict(losses)
        self.rows = list({(row.case, row.label): row for row in rows}.values())
        self.confidences = list({record.case: record for record in confidences}.values())
        self.quantities = list({(row.case, row.reference.name): row for row in quantities}.values())
        self.judged = list({record.case: record for record in judged}.values())
        self.lesions = list({(record.case, record.label): record for record in lesions}.values())

    def results(self) -> Results:
        """The results of all processes so far."""
        if self._results is None:
            self.gather()
            self._results = Results(
                tuple(self.rows),
                confidences=tuple(self.confidences),
                quantities=tuple(self.quantities),
                lesions=tuple(self.lesions),
                judged=tuple(self.judged),
                tolerance=self.tolerance if self.surfaces else {},
                resamples=self.resamples,
                seed=self.seed,
            )
        return self._results

    def compute(self) -> float:
        value = self.results().mean_dice
        if np.isnan(value):
            raise DatalistError(
                "cases to measure on that show at least one of the classes",
                found=f"{len(self.rows)} rows without any",
                remedy="Build a datalist whose splits hold every class.",
            )
        return value

    def completed(self, engine: Any, name: str) -> None:
        results = self.results()
        engine.state.metrics |= {f"{self.prefix}_{key}": value for key, value in results.metrics().items()}
        if self.losses:
            engine.state.metrics[f"{self.prefix}_loss"] = float(np.mean(list(self.losses.values())))
        engine.state.results = results
        if self._said != results.absent and is_main():  # validations of one training all say the same
            self._said = results.absent
            for name in results.absent:
                logger.warning("%s: no case shows %s: no score says how it is segmented", self.prefix, name)
        super().completed(engine, name)


def _loss(loss: nn.Module, probabilities: Tensor, reference: Tensor) -> float:
    """Of probabilities (K, H, W[, D]), all 0 outside the network's image, and labels (1, H, W[, D])."""
    shares, labels = (convert_to_tensor(x, track_meta=False).detach() for x in (probabilities, reference))
    step = math.ceil((labels.numel() / LOSS_VOXELS) ** (1 / (labels.ndim - 1)))
    every = (slice(None), *[slice(None, None, max(step, 1))] * (labels.ndim - 1))
    shares, labels = shares[every].float(), labels[every].to(shares.device)
    background = torch.zeros_like(shares)
    background[0] = shares.sum(dim=0) == 0
    logits = (shares + background).clamp_min(torch.finfo(torch.float32).tiny).log()
    return float(loss.to(logits.device)(logits[None], labels[None]))
