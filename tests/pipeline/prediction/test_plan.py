"""Which items a run takes, and which backend."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pyraseg.pipeline.prediction import plan
from pyraseg.pipeline.prediction.bundle import load_bundle, read_bundle
from pyraseg.pipeline.prediction.discovery.find_items import Discovered
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.folder_lock import Shard
from pyraseg.pipeline.prediction.plan import check_found, make_plan
from pyraseg.pipeline.writers.tables.item_records import Failure, Item
from pyraseg.transforms.errors import NothingFoundError
from pyraseg.transforms.records import SourceRef
from tests.pipeline.prediction.runs import BUNDLE

SOURCE = SourceRef("a.dcm", "1.2", "1.2", "2", "US", "1.2.840.10008.1.2.1", 3, rows=4, columns=4)
ITEMS = [Item(f"c{n}", replace(SOURCE, sop_instance_uid=f"1.2.{n}"), f"{n}.dcm", 10, 20) for n in range(20)]
JOB = Job((), None, None)  # type: ignore[arg-type]


class Folder:
    """A folder in which the items with even numbers are done."""

    def is_done(self, item: Item) -> bool:
        return int(item.case[1:]) % 2 == 0


def cases(items):
    return [item.case for item in items]


def test_everything_is_due_in_a_new_run():
    made = make_plan(JOB, ITEMS, Folder())
    assert (cases(made.due), made.kept, made.beyond, made.frames) == (cases(ITEMS), (), 0, 60)


def test_the_limit_counts_what_is_still_to_do():
    made = make_plan(replace(JOB, resume=True, limit=3), ITEMS, Folder())
    assert cases(made.due) == ["c1", "c3", "c5"]
    assert cases(made.kept) == cases(ITEMS)[::2]
    assert made.beyond == 7


def test_shards_share_by_the_files_own_identity_whatever_the_key_of_case_names(monkeypatch):
    parts = [make_plan(replace(JOB, shard=Shard(n, 3)), ITEMS, None).due for n in (1, 2, 3)]
    renamed = [replace(item, case=f"x{item.case}") for item in ITEMS]
    others = [make_plan(replace(JOB, shard=Shard(n, 3)), renamed, None).due for n in (1, 2, 3)]
    assert sorted(case for part in parts for case in cases(part)) == sorted(cases(ITEMS))
    assert [[item.file for item in part] for part in parts] == [
        [item.file for item in part] for part in others
    ]


@pytest.mark.parametrize(
    ("asked", "former", "taken"),
    [("auto", None, "auto"), ("auto", "openvino", "openvino"), ("torch", "openvino", "torch")],
)
def test_auto_keeps_to_the_backend_of_the_folders_other_results(monkeypatch, asked, former, taken):
    monkeypatch.setattr(plan, "build_backend", lambda name, **options: name)
    bundle = SimpleNamespace(
        network=None, device=SimpleNamespace(type="cpu"),
        inferer=SimpleNamespace(amp="auto", mode="whole", overlap=0.5, tta_flips=()),
        input_shape=(3, 8, 8), volumes=False, algorithm=SimpleNamespace(weights="f"),
    )  # fmt: skip
    assert plan.make_backend(replace(JOB, backend=asked), bundle, 5, former=former) == taken


def test_frames_are_scored_by_the_windows_and_the_overlap_of_the_bundle_s_own_inference(checkpoint):
    overrides = {
        "inference_mode": "sliding",
        "inference_size": "[96, 112]",
        "overlap": "0.75",
        "amp": "false",
    }
    bundle = load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint], device="cpu", overrides=overrides)
    frames = torch.rand(2, *bundle.input_shape, generator=torch.Generator().manual_seed(0))
    backend = plan.make_backend(replace(JOB, backend="torch"), bundle, 2, former=None)
    with torch.inference_mode():
        expected = bundle.inferer(frames, bundle.network)
    assert torch.allclose(backend(frames), expected, atol=1e-5)


def test_inputs_without_a_file_hold_nothing_to_predict_and_failures_are_something():
    with pytest.raises(NothingFoundError, match=r"found nothing\."):
        check_found(Discovered((), (), ()))
    check_found(Discovered((), (), (Failure("a.dcm", "broken", "Export it again."),)))
