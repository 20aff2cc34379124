"""Scores per case and class on the source grid, their summary over groups and over frames, and the files of
both."""

from __future__ import annotations

from pyraseg.pipeline.evaluation.metric import SegmentationScores
from pyraseg.pipeline.evaluation.overlay_sheet import OverlayGrid
from pyraseg.pipeline.evaluation.result_files import CaseResults
from pyraseg.pipeline.evaluation.results import Results
from pyraseg.pipeline.evaluation.run import evaluate
from pyraseg.pipeline.evaluation.scores import CaseScore, score_case
from pyraseg.pipeline.evaluation.summary import summarise
from pyraseg.pipeline.evaluation.tables import write_results, write_scores

__all__ = [
    "CaseResults",
    "CaseScore",
    "OverlayGrid",
    "Results",
    "SegmentationScores",
    "evaluate",
    "score_case",
    "summarise",
    "write_results",
    "write_scores",
]
