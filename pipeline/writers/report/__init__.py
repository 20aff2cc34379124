"""The HTML report of a batch: one file, which opens in a browser without a network."""

from pyraseg.pipeline.writers.report.page import Run, write_report
