"""The cache law: read what is stored, unless a file, an item or a transform has changed."""

import os
import resource
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, RandFlipd, RandRotated, Transform
from PIL import Image

from pyraseg.pipeline.training.caching import CachedDataset, hash_files
from pyraseg.pipeline.training.sampling import Draw
from pyraseg.transforms.errors import ConfigError, InputError
from pyraseg.transforms.io.volumes import read_volume
from tests.chains import frame_preprocessing, volume_preprocessing
from tests.transforms.dicom.series_cases import write_series

ROOT = Path(__file__).resolve().parents[3]


def write_frame(folder: Path, name: str = "frame", *, fluid: int = 10) -> dict[str, str]:
    """A speckled rectangle on black, 60 x 80 pixels, and its mask: an item of a datalist."""
    frame = np.zeros((60, 80), np.uint8)
    frame[8:52, 10:70] = np.random.default_rng(7).integers(60, 200, (44, 60))
    mask = np.zeros((60, 80), np.uint8)
    mask[20 : 20 + fluid, 30:50] = 1
    paths = {key: folder / f"{name}_{key}.png" for key in ("image", "label")}
    Image.fromarray(frame).save(paths["image"])
    Image.fromarray(mask).save(paths["label"])
    return {**{key: str(path) for key, path in paths.items()}, "case": f"c_{name}", "group": "g"}


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


class Odd(Transform):
    """Adds what no safe reader gives back."""

    def __call__(self, data: dict[str, object]) -> dict[str, object]:
        return data | {"odd": Fraction(1, 3)}


@pytest.fixture
def item(tmp_path) -> dict[str, str]:
    return write_frame(tmp_path)


class TestHashFiles:
    def test_the_order_of_the_entries_says_nothing(self, item):
        assert hash_files(dict(reversed(item.items()))) == hash_files(item)

    @pytest.mark.parametrize("key", ["image", "label"])
    def test_a_touched_file_is_another_key(self, item, key):
        before = hash_files(item)
        os.utime(item[key], ns=(0, Path(item[key]).stat().st_mtime_ns + 1000))
        assert hash_files(item) != before

    @pytest.mark.parametrize("key", ["image", "label"])
    def test_a_file_of_another_size_is_another_key_though_its_time_is_kept(self, item, key):
        before, time = hash_files(item), Path(item[key]).stat().st_mtime_ns
        with open(item[key], "ab") as file:
            file.write(b" ")
        os.utime(item[key], ns=(time, time))
        assert hash_files(item) != before

    def test_a_folder_is_another_key_once_a_file_in_it_is_changed_added_or_removed(self, item, tmp_path):
        folder = tmp_path / "series" / "inner"
        folder.mkdir(parents=True)
        item["image"] = str(folder.parent)
        keys = [hash_files(item)]
        for change in (
            lambda: (folder / "1.dcm").write_bytes(b"a"),
            lambda: (folder / "2.dcm").write_bytes(b"a"),
            lambda: os.utime(folder / "1.dcm", ns=(0, 1)),
            lambda: (folder / "2.dcm").rename(folder / "3.dcm"),
            lambda: (folder / "3.dcm").unlink(),
        ):
            change()
            keys.append(hash_files(item))
        assert len(set(keys)) == 6
        assert hash_files(item) == keys[-1]

    @pytest.mark.parametrize("change", [{"group": "h"}, {"case": "d"}, {"class": "normal"}])
    def test_another_content_of_the_item_is_another_key(self, item, change):
        assert hash_files(item | change) != hash_files(item)

    def test_a_frame_of_a_cine_is_stamped_by_its_file(self, item):
        frames = [item | {"image": f"{item['image']}#frame_index={n}"} for n in (0, 1)]
        keys = {hash_files(frame) for frame in frames}
        assert len(keys) == 2
        os.utime(item["image"], ns=(0, 1))
        assert keys.isdisjoint(hash_files(frame) for frame in frames)

    def test_a_file_that_is_gone_is_said_without_its_path(self, item):
        Path(item["label"]).unlink()
        with pytest.raises(InputError) as raised:
            hash_files(item)
        assert raised.value.path == item["label"]
        assert item["label"] not in str(raised.value)


class TestCachedDataset:
    """The first pass fills the cache, the second reads it; whatever changes the result is noticed."""

    def dataset(self, items, folder, **options):
        transform = frame_preprocessing(size=(32, 40), label="source", **options)
        return CachedDataset(items, transform, folder / "cache", track_meta=True)

    @pytest.fixture
    def items(self, tmp_path):
        return [write_frame(tmp_path, name) for name in ("one", "two")]

    @pytest.fixture
    def filled(self, items, tmp_path):
        """What the first pass gave, before which there was no cache."""
        return list(self.dataset(items, tmp_path))

    def cached(self, folder) -> set[str]:
        return {path.name for path in (folder / "cache").iterdir()}

    def test_a_second_dataset_reads_what_the_first_one_stored(self, items, filled, tmp_path):
        files = self.cached(tmp_path)
        assert len(files) == 2
        stored = sorted((tmp_path / "cache").iterdir())[0]
        content = torch.load(stored, weights_only=False)
        content["item"]["image"] += 5  # seen below: the file itself is read, nothing computed anew
        torch.save(content, stored)
        again = list(self.dataset(items, tmp_path))
        moved = [float((b["image"] - a["image"]).mean()) for a, b in zip(filled, again, strict=True)]
        assert sorted(moved) == pytest.approx([0, 5], abs=1e-5)
        assert self.cached(tmp_path) == files

    def test_an_item_from_the_cache_has_values_metadata_and_trace_of_the_fresh_one(
        self, items, filled, tmp_path
    ):
        again = self.dataset(items, tmp_path)
        for fresh, cached in zip(filled, again, strict=True):
            assert torch.equal(fresh["image"], cached["image"])
            assert torch.equal(fresh["label"], cached["label"])
            assert cached["image"].meta["case"] == fresh["case"]
            assert len(cached["image"].applied_operations) == len(fresh["image"].applied_operations) > 0

    def test_another_process_finds_the_same_cache(self, items, filled, tmp_path):
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
        code = (
            "from pyraseg.pipeline.training.caching import CachedDataset\n"
            "from tests.chains import frame_preprocessing\n"
            "transform = frame_preprocessing(size=(32, 40), label='source')\n"
            f"data = CachedDataset({items!r}, transform, {str(tmp_path / 'cache')!r}, track_meta=True)\n"
            "print(len(list(data)))"
        )
        environment = os.environ | {"PYTHONHASHSEED": "17"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
        )
        assert done.stdout.strip() == b"2"
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == before

    def test_what_comes_before_the_random_transforms_is_stored_however_deep_it_is_nested(
        self, items, tmp_path
    ):
        fixed = frame_preprocessing(size=(32, 40), label="network")
        both = Compose([fixed, Compose([RandFlipd("image", prob=0.5)])])
        assert len(list(CachedDataset(items, both, tmp_path / "cache"))) == 2
        for stored in (tmp_path / "cache").iterdir():
            assert torch.load(stored, weights_only=False)["item"]["image"].shape == (3, 32, 40)

    def test_a_corrected_mask_is_read_anew_and_the_other_item_is_not(self, items, filled, tmp_path):
        files = self.cached(tmp_path)
        items[0] = write_frame(tmp_path, "one", fluid=20)
        again = list(self.dataset(items, tmp_path))
        assert int(filled[0]["label"].sum()) == 10 * 20
        assert int(again[0]["label"].sum()) == 20 * 20
        assert len(self.cached(tmp_path) - files) == 1

    @pytest.mark.parametrize("options", [{"crop": False}, {"blank": False}, {"in_channels": 1}])
    def test_a_changed_parameter_of_a_transform_is_noticed(self, items, filled, tmp_path, options):
        files = self.cached(tmp_path)
        again = list(self.dataset(items, tmp_path, **options))
        assert len(self.cached(tmp_path) - files) == 2
        wanted = frame_preprocessing(size=(32, 40), label="source", **options)
        assert torch.equal(again[0]["image"], wanted(dict(items[0]))["image"])

    @pytest.mark.parametrize(
        "damage",
        [
            lambda file: file.write_bytes(b"not a checkpoint"),
            lambda file: file.write_bytes(b""),
            lambda file: file.write_bytes(file.read_bytes()[:-200]),
            lambda file: flip(file, file.stat().st_size // 2),
            lambda file: flip(file, 100),
            lambda file: torch.save([1, 2], file),
            lambda file: torch.save({"key": "another's", "item": {"image": torch.zeros(1)}}, file),
            lambda file: torch.save({"key": file.stem, "item": Path("code")}, file),
        ],
        ids=["text", "empty", "truncated", "a pixel", "its head", "a list", "another's", "code"],
    )
    def test_a_damaged_entry_is_made_anew_and_named_without_its_path(
        self, items, filled, tmp_path, damage, caplog
    ):
        for file in (tmp_path / "cache").iterdir():
            damage(file)
        again = list(self.dataset(items, tmp_path))
        assert torch.equal(again[0]["image"], filled[0]["image"])
        assert caplog.messages == ["an entry of the cache is damaged, and made anew"] * 2
        assert len(list(self.dataset(items, tmp_path))) == 2
        assert len(caplog.messages) == 2

    def test_the_cache_is_the_user_s_alone(self, items, filled, tmp_path):
        cache = tmp_path / "cache"
        assert stat.S_IMODE(cache.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()} == {0o600}

    def test_the_folder_is_made_with_the_first_item(self, items, tmp_path):
        dataset = self.dataset(items, tmp_path / "new")
        assert not (tmp_path / "new").exists()
        assert dataset[0]["image"].shape == (3, 32, 40)
        assert (tmp_path / "new" / "cache").is_dir()

    def test_a_full_disk_is_said_once_and_the_items_come_all_the_same(self, items, tmp_path, caplog):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            found = list(self.dataset(items, tmp_path))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert len(found) == 2
        assert [message[:40] for message in caplog.messages] == ["the cache takes no more: no room for it "]
        assert self.cached(tmp_path) == set()

    def test_objects_that_cannot_be_read_back_are_refused_at_the_first_item(self, items, tmp_path):
        chain = Compose([*self.dataset(items, tmp_path).transform.transforms, Odd()])
        with pytest.raises(ConfigError, match="Fraction"):
            CachedDataset(items, chain, tmp_path / "cache")[0]
        assert self.cached(tmp_path) == set()

    def test_fresh_and_stored_items_go_into_one_batch(self, items, tmp_path):
        transform = frame_preprocessing(size=(32, 40), label="network")
        half = CachedDataset(items, transform, tmp_path / "cache")
        assert half[0]["image"].shape == (3, 32, 40)
        (batch,) = DataLoader(
            CachedDataset(items, transform, tmp_path / "cache"), batch_size=2, num_workers=0
        )
        assert batch["image"].shape == (2, 3, 32, 40)


@pytest.mark.parametrize("form", ["DICOM", "NIfTI"])
def test_a_volume_of_a_validation_is_computed_once(tmp_path, form, caplog):
    source = write_series(tmp_path / "series")
    volume = read_volume(source)
    mask = tmp_path / "mask.nii.gz"
    for path, array in ((mask, volume.array > 0), (tmp_path / "image.nii.gz", volume.array)):
        nibabel.save(nibabel.Nifti1Image(array.astype(np.int16), volume.affine), path)
    image = source if form == "DICOM" else tmp_path / "image.nii.gz"
    items = [{"image": str(image), "label": str(mask), "case": "c", "group": "g"}]
    chain = volume_preprocessing(label="source", input_size=[8, 8, 8], spacing_mm=[2.0, 2.0, 2.0])
    (fresh,) = CachedDataset(items, chain, tmp_path / "cache", track_meta=True)
    (entry,) = (tmp_path / "cache").iterdir()
    stamp = entry.stat().st_mtime_ns, entry.stat().st_ino
    (again,) = CachedDataset(items, chain, tmp_path / "cache", track_meta=True)
    assert (entry.stat().st_mtime_ns, entry.stat().st_ino) == stamp
    assert caplog.messages == []
    assert torch.equal(again["image"], fresh["image"])
    assert str(again["image"].applied_operations) == str(fresh["image"].applied_operations)
    assert str(again["image"].meta) == str(fresh["image"].meta)


def test_a_draw_s_seed_decides_the_augmentation_in_whichever_process_and_order(item, tmp_path):
    transform = Compose(
        [frame_preprocessing(size=(32, 32)), RandRotated(keys="image", range_x=1.0, prob=1.0)]
    )
    dataset = CachedDataset([item, item], transform, tmp_path / "cache")
    draws = [Draw(0, 5), Draw(1, 6), Draw(0, 7)]
    first = [dataset[draw]["image"] for draw in draws]
    assert not torch.equal(first[0], first[2])
    for workers in (0, 2):
        loader = DataLoader(dataset, batch_size=1, sampler=draws[::-1], num_workers=workers)
        again = [batch["image"][0] for batch in loader]
        assert all(torch.equal(a, b) for a, b in zip(again[::-1], first, strict=True))
