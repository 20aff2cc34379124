"""Datalists: from folders or a table to training, validation and test items that share no patient."""

from pipeline.datalist.build import build_datalist
from pipeline.datalist.groups import Grouping
from pipeline.datalist.inference import find_images
from pipeline.datalist.label_map import parse_label_map
from pipeline.datalist.load import load_datalist
from pipeline.datalist.records import Datalist
from pipeline.datalist.report import DatalistReport
from pipeline.datalist.rules import check_label_names
from pipeline.datalist.series_source import SeriesSource
from pipeline.datalist.sources import FolderSource, TableSource
from pipeline.datalist.write import write_datalist

__all__ = [
    "Datalist",
    "DatalistReport",
    "FolderSource",
    "Grouping",
    "SeriesSource",
    "TableSource",
    "build_datalist",
    "check_label_names",
    "find_images",
    "load_datalist",
    "parse_label_map",
    "write_datalist",
]
