"""An epoch takes no more of a patient than was asked for, in time takes everything, and can be taken
again."""

import itertools
import pickle

import pytest
from monai.data import DataLoader, Dataset

from pyraseg.pipeline.training.sampling import Draw, GroupSampler
from pyraseg.transforms.errors import ConfigError


class TestGroupSampler:
    GROUPS = ("a",) * 10 + ("b",) * 3 + ("c",) + ("a",) * 4

    def drawn(self, **options) -> list[list[int]]:
        sampler = GroupSampler(self.GROUPS, **options)
        return [list(sampler) for _ in range(5)]

    @pytest.mark.parametrize(("limit", "length"), [(1, 3), (3, 7), (5, 9), (14, 18), (99, 18), (None, 18)])
    def test_an_epoch_holds_at_most_so_many_of_each_group_and_its_length_says_how_many(self, limit, length):
        assert len(GroupSampler(self.GROUPS, frames_per_group=limit)) == length
        for epoch in self.drawn(frames_per_group=limit):
            assert len(epoch) == len(set(epoch)) == length
            counts = {group: sum(self.GROUPS[i] == group for i in epoch) for group in "abc"}
            assert counts == {g: min(self.GROUPS.count(g), limit or 99) for g in "abc"}

    def test_every_frame_is_drawn_before_one_of_its_group_comes_again(self):
        epochs = self.drawn(frames_per_group=3)  # 14 frames of the largest group: five epochs
        assert {i for epoch in epochs for i in epoch} == set(range(len(self.GROUPS)))
        first_four = [i for epoch in epochs[:4] for i in epoch if self.GROUPS[i] == "a"]
        assert len(set(first_four)) == 12

    def test_the_order_is_random_and_the_seed_s_own(self):
        epochs = self.drawn(frames_per_group=None, seed=1)
        assert epochs == self.drawn(frames_per_group=None, seed=1)
        assert epochs != self.drawn(frames_per_group=None, seed=2)
        assert epochs[0] != epochs[1]
        assert epochs[0] != sorted(epochs[0])

    def test_a_data_loader_takes_it(self):
        items = [{"group": group, "number": n} for n, group in enumerate(self.GROUPS)]
        sampler = GroupSampler([item["group"] for item in items], frames_per_group=2, seed=4)
        loader = DataLoader(Dataset(items), batch_size=2, sampler=sampler, num_workers=0)
        assert len(loader) == 3
        assert sum(len(batch["number"]) for batch in loader) == 5

    @pytest.mark.parametrize("limit", [0, -1])
    def test_no_frame_at_all_is_refused(self, limit):
        with pytest.raises(ConfigError, match="frames_per_group above 0"):
            GroupSampler(["a"], frames_per_group=limit)

    @pytest.mark.parametrize("limit", [None, 3])
    @pytest.mark.parametrize(("epochs", "draws"), [(0, 0), (2, 0), (3, 5), (0, 2)])
    def test_a_sampler_can_go_to_any_place_and_draws_on_from_there_with_the_same_seeds(
        self, limit, epochs, draws
    ):
        def stream(sampler):
            return [(int(draw), draw.seed) for _ in range(5) for draw in sampler]

        whole = stream(GroupSampler(self.GROUPS, frames_per_group=limit, seed=7))
        later = GroupSampler(self.GROUPS, frames_per_group=limit, seed=7)
        later.seek(epochs, draws=draws)
        place = epochs * len(later) + draws
        assert stream(later)[: len(whole) - place] == whole[place:]

    def test_a_frame_s_seed_is_another_in_each_epoch_and_for_each_frame(self):
        sampler = GroupSampler(self.GROUPS, frames_per_group=None)
        seeds = [draw.seed for _ in range(4) for draw in sampler]
        assert len(set(seeds)) == len(seeds)

    @pytest.mark.parametrize("ranks", [2, 3, 5])
    def test_processes_share_an_epoch_in_equal_parts_that_together_hold_all(self, ranks):
        parts = [
            GroupSampler(self.GROUPS, frames_per_group=None, share=(rank, ranks)) for rank in range(ranks)
        ]
        assert len({len(part) for part in parts}) == 1
        drawn = [[int(draw) for draw in part] for part in parts]
        assert {len(part) for part in drawn} == {len(parts[0])}
        assert set(itertools.chain(*drawn)) == set(range(len(self.GROUPS)))
        assert sum(map(len, drawn)) - len(self.GROUPS) < ranks  # no more repeated than it takes to be equal


def test_a_draw_is_its_index_and_keeps_its_seed_on_the_way_to_another_process():
    draw = pickle.loads(pickle.dumps(Draw(3, 99)))
    assert [10, 11, 12, 13][draw] == 13
    assert draw.seed == 99


def test_background_is_drawn_up_to_its_own_number_whatever_its_groups() -> None:
    groups, blank = ["a", "a", "a", "b", "c", "d"], [False] * 3 + [True] * 3
    sampler = GroupSampler(groups, frames_per_group=2, background=blank, background_per_epoch=1)
    epochs = [[int(draw) for draw in sampler] for _ in range(3)]
    assert [sum(draw > 2 for draw in epoch) for epoch in epochs] == [1, 1, 1]
    assert [len(epoch) for epoch in epochs] == [len(sampler)] * 3 == [3] * 3
    assert {draw for epoch in epochs for draw in epoch if draw > 2} == {3, 4, 5}


def test_without_a_number_all_background_is_drawn_and_with_zero_none() -> None:
    options = {"frames_per_group": 1, "background": [False, True, True]}
    assert len(GroupSampler(["a", "b", "b"], **options)) == 3
    assert len(GroupSampler(["a", "b", "b"], background_per_epoch=0, **options)) == 1
    with pytest.raises(ConfigError, match="background_per_epoch"):
        GroupSampler(["a", "b", "b"], background_per_epoch=-1, **options)
