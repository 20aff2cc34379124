"""Scores per case and class on the source grid, their summary over groups and frames, and their files."""

from __future__ import annotations

from pyraseg.pipeline.evaluation.bootstrap import Estimate, estimate
from pyraseg.pipeline.evaluation.calibration import CaseConfidence, count_confidence
from pyraseg.pipeline.evaluation.lesions import CaseLesions, compare_lesions
from pyraseg.pipeline.evaluation.metric import SegmentationScores
from pyraseg.pipeline.evaluation.overlay_sheet import OverlayGrid
from pyraseg.pipeline.evaluation.result_files import CaseResults, evaluate, write_results
from pyraseg.pipeline.evaluation.scores import CaseScore, score_case
from pyraseg.pipeline.evaluation.summary import Results
from pyraseg.pipeline.evaluation.surfaces import SurfaceScores, surface_scores

__all__ = [
    "CaseConfidence",
    "CaseLesions",
    "CaseResults",
    "CaseScore",
    "Estimate",
    "OverlayGrid",
    "Results",
    "SegmentationScores",
    "SurfaceScores",
    "compare_lesions",
    "count_confidence",
    "estimate",
    "evaluate",
    "score_case",
    "surface_scores",
    "write_results",
]
