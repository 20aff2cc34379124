"""Scores per case and class on the source grid, their summary over groups and over frames, and the files of both."""

from __future__ import annotations

from pipeline.evaluation.keep import CaseResults
from pipeline.evaluation.metric import SegmentationScores
from pipeline.evaluation.results import Results
from pipeline.evaluation.run import evaluate
from pipeline.evaluation.scores import CaseScore, score_case
from pipeline.evaluation.summary import summarise
from pipeline.evaluation.tables import write_results, write_scores

__all__ = [
    "CaseResults",
    "CaseScore",
    "Results",
    "SegmentationScores",
    "evaluate",
    "score_case",
    "summarise",
    "write_results",
    "write_scores",
]
