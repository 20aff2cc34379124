"""The engine that stays open: rounds of items, and what a round that is left early costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pyraseg.pipeline import cli
from pyraseg.pipeline.prediction.discovery.find_items import find_items
from pyraseg.pipeline.prediction.engine import open_engine
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.tables import Totals
from pyraseg.transforms.errors import OutputError
from tests.pipeline.prediction.batch import BUNDLE, Batch, result_of, write_image


@pytest.fixture
def batch(tmp_path, checkpoint) -> Batch:
    for number in range(4):
        write_image(tmp_path / "in" / f"{number}.dcm", number)
    (tmp_path / "in" / "1.dcm").write_bytes((tmp_path / "in" / "1.dcm").read_bytes()[:-100])
    return Batch((tmp_path / "in",), checkpoint)


def test_rounds_of_an_engine_leave_what_one_run_leaves(batch, tmp_path):
    assert cli.main(batch.arguments(tmp_path / "one")) == 1
    job = Job(
        batch.inputs, BUNDLE, tmp_path / "out", (batch.weights,), ("seg", "nifti"),
        device="cpu", backend="torch", workers=2, batch_size=1,
    )  # fmt: skip
    began, totals = datetime.now(UTC), Totals()
    with open_engine(job) as engine:
        found = find_items(batch.inputs, engine.rules)
        for settled in engine.run(found.items):  # a round that is left costs what is in work
            assert (settled.item in found.items, settled.done is None) == (True, settled.failure is not None)
            break
        first, *rest = sorted(found.items, key=lambda item: item != settled.item)
        assert {settled.item for settled in engine.run(rest[:1])} == set(rest[:1])
        ends = [settled.failure for settled in engine.run([first, *rest[1:]])]
        for failure in found.failures:
            engine.folder.add_failure(failure)
        engine.write_tables(found, totals, started=began)
        assert len(ends) == len(found.items) - 1
        with pytest.raises(OutputError, match="another run is working in"), open_engine(job):
            pass
    assert result_of(job.output) == result_of(tmp_path / "one")
    assert not any((job.output / ".pyraseg" / "drafts").iterdir())
    with open_engine(replace(job, resume=True)) as engine:
        assert all(map(engine.folder.is_done, [item for item in found.items if item.file != "1.dcm"]))
