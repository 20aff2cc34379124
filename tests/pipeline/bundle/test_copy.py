"""A bundle can be taken out of the installed package and is whole."""

from pathlib import Path

import pytest

from pyraseg.pipeline.bundle.copy import copy_bundle
from pyraseg.transforms.errors import ConfigError, OutputError

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "bundles").iterdir()))
def test_a_copy_holds_every_file_of_the_bundle_and_no_weights(name, tmp_path):
    folder = copy_bundle(name, tmp_path / "copy")
    for part in ("configs", "docs"):
        assert files_under(folder / part) == files_under(ROOT / "bundles" / name / part)
    assert (folder / "LICENSE").is_file()
    assert list(folder.rglob("*.pt")) == []


def files_under(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_name_that_is_no_bundle_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean us_hydronephrosis"):
        copy_bundle("us_hydronefrosis", tmp_path / "copy")


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="one that is there"):
        copy_bundle("us_hydronephrosis", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
