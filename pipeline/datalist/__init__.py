"""Datalists: from folders or a table to training, validation and test items that share no patient."""

from pipeline.datalist.load import load_datalist
from pipeline.datalist.records import Datalist
from pipeline.datalist.rules import check_label_names
from pipeline.datalist.write import write_datalist

__all__ = ["Datalist", "check_label_names", "load_datalist", "write_datalist"]
