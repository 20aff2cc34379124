"""Datalists: from folders or a table to training, validation and test items that share no patient."""

from __future__ import annotations

from pyraseg.pipeline.datalist.build import build_datalist
from pyraseg.pipeline.datalist.groups import Grouping
from pyraseg.pipeline.datalist.items import Datalist
from pyraseg.pipeline.datalist.labels import check_label_names, parse_label_map
from pyraseg.pipeline.datalist.load import load_datalist
from pyraseg.pipeline.datalist.report import DatalistReport
from pyraseg.pipeline.datalist.sources.background import BackgroundSource
from pyraseg.pipeline.datalist.sources.folders import FolderSource
from pyraseg.pipeline.datalist.sources.images import find_images, unlabelled_frames
from pyraseg.pipeline.datalist.sources.series import SeriesSource
from pyraseg.pipeline.datalist.sources.table import TableSource
from pyraseg.pipeline.datalist.write import write_datalist
