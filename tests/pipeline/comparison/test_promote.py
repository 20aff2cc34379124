"""An alias moves where a comparison shows that it may, and once; what stops it leaves nothing half done."""

from __future__ import annotations

import multiprocessing
import sys
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.comparison import claims
from pyraseg.pipeline.comparison.claims import Promotion, claimed
from pyraseg.transforms.errors import PromotionError
from tests.pipeline.comparison.runs import digest_of, evaluate

NAMES = count()


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def trained(fresh, tables, tmp_path):
    """Trains and evaluates under a name: good, poor, or with tables of one's own."""

    def train(name: str, folder: Path | None = None) -> str:
        run_id = fresh.training(name, kind=name)
        (tmp_path / "model.pt").write_text(name)
        fresh.client.log_artifact(run_id, str(tmp_path / "model.pt"), "checkpoints")
        fresh.evaluation(f"test of {name}", folder or tables[f"{name}_0"], of=name)
        return run_id

    return train


@pytest.fixture
def model() -> str:
    return f"kidney {next(NAMES)}"


def promote(store, model: str, *options: str) -> int:
    where = ["--tracking_uri", store.uri, "--experiment", store.experiment, "--model", model]
    return main(["promote", *where, *options])


def champion(store, model: str) -> str:
    return str(dict(store.client.get_registered_model(model).aliases).get("champion", ""))


def numbers(store, model: str) -> list[str]:
    return sorted(str(version.version) for version in claims.versions(store.client, model))


def test_the_first_evaluated_network_is_the_champion_and_a_better_one_takes_its_place(
    fresh, trained, model, capsys, tmp_path
):
    trained("poor")
    assert promote(fresh, model) == 0
    assert champion(fresh, model) == "1"
    run_id = trained("good")
    assert promote(fresh, model, "--output", str(tmp_path / "out")) == 0
    said = capsys.readouterr().out
    assert f"is version 2 of {model}, the champion in place of version 1" in said
    assert f"--checkpoint models:/{model}@champion" in said
    version = fresh.client.get_model_version(model, "2")
    assert champion(fresh, model) == "2"
    assert version.tags["checkpoint.sha256"] == digest_of("good")
    assert (version.tags["pyraseg.promotion"], version.tags["pyraseg.replaces"]) == ("done", "1")
    page = version.tags["pyraseg.comparison"].removeprefix(f"runs:/{run_id}/")
    copy = fresh.client.download_artifacts(run_id, page, str(tmp_path))
    assert Path(copy).read_text() == (tmp_path / "out" / "comparison.html").read_text()


def test_one_that_is_not_shown_to_be_better_is_refused_in_a_sentence_and_overruled_with_a_reason(
    fresh, trained, model, capsys
):
    trained("good")
    assert promote(fresh, model) == 0
    trained("poor")
    assert promote(fresh, model) == 1
    said = capsys.readouterr().err
    assert (
        "wanted a candidate better than the champion by more than 0 in every class, found kidney, Dice"
        in said
    )
    assert (numbers(fresh, model), champion(fresh, model)) == (["1"], "1")
    assert promote(fresh, model, "--because", "it runs on the old scanner") == 0
    tags = fresh.client.get_model_version(model, "2").tags
    assert tags["pyraseg.because"] == "it runs on the old scanner"
    assert tags["pyraseg.overruled"].startswith("kidney, Dice: −0")
    assert champion(fresh, model) == "2"


def test_the_margin_is_in_the_metrics_unit_and_of_what_is_better(fresh, trained, model, capsys):
    trained("poor")
    promote(fresh, model)
    trained("good")
    for asked in (["--margin", "0.5"], ["--metric", "hd95", "--margin", "100"]):
        assert promote(fresh, model, *asked) == 1
    assert promote(fresh, model, "--metric", "dise") == 2
    assert "Did you mean dice" in capsys.readouterr().err
    assert promote(fresh, model, "--metric", "hd95", "--margin", "0.1") == 0


def test_an_equal_network_is_not_better_and_not_worse(fresh, trained, tables, model):
    trained("good")
    promote(fresh, model)
    trained("twin", tables["good_0"])
    assert promote(fresh, model) == 1
    assert promote(fresh, model, "--not-worse-by", "0") == 1
    assert promote(fresh, model, "--not-worse-by", "0.01") == 0


def test_few_patients_show_nothing(fresh, trained, model, tmp_path, capsys):
    for name, error in (("poor", 1.6), ("good", 0.3)):
        trained(name, evaluate(tmp_path / name, error=error, groups=(3, 3), surfaces=False))
        status = promote(fresh, model)
    assert status == 1
    assert "2 groups, too few to be tested" in capsys.readouterr().err


def test_who_is_to_be_compared_must_be_plain(fresh, trained, tables, model, tmp_path, capsys):
    assert promote(fresh, model) == 2  # the experiment does not exist yet
    never = fresh.training("never evaluated")
    assert promote(fresh, model) == 2
    assert "none that was evaluated" in capsys.readouterr().err
    assert promote(fresh, model, "--runs", never) == 1
    assert "an evaluation of never evaluated on the test split, found none" in capsys.readouterr().err
    trained("good")
    trained("poor")
    assert promote(fresh, model) == 2
    assert "one candidate, found 2: 'good', 'poor'" in capsys.readouterr().err
    assert claims.versions(fresh.client, model) == []
    assert promote(fresh, model, "--runs", "good") == 0
    assert promote(fresh, model, "--runs", "good") == 2
    assert "found the champion itself" in capsys.readouterr().err
    trained("elsewhere", evaluate(tmp_path / "other", error=0.3, groups=(2, 2, 2), surfaces=False))
    assert promote(fresh, model, "--runs", "elsewhere") == 1
    assert "runs measured on the same cases" in capsys.readouterr().err
    fresh.evaluation("test with flips", tables["poor_1"], of="poor", tta_flips=["w"])
    assert promote(fresh, model, "--runs", "poor") == 2
    assert "'test of poor' and 'test of good'; 'test with flips' and" in capsys.readouterr().err
    assert numbers(fresh, model) == ["1"]
    assert promote(fresh, model, "--runs", "test with flips", "--because", "flips") == 0


def test_an_ensemble_and_a_champion_that_was_not_evaluated_here_are_said(
    fresh, trained, tables, model, capsys
):
    trained("good")
    promote(fresh, model)
    run = fresh.evaluation("both", tables["poor_0"], of=None)
    fresh.client.set_tag(run, "evaluated.sha256", f"{'a' * 64} {'b' * 64}")
    assert promote(fresh, model) == 2
    assert "found an ensemble" in capsys.readouterr().err
    other = type(fresh)(fresh.uri, fresh.folder, f"{fresh.experiment} of others")
    other.training("poor")
    other.evaluation("test of poor", tables["poor_0"], of="poor")
    assert promote(other, model) == 1
    assert "an evaluation of the champion on the test split" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--alias", "v1"], "names that MLflow takes"),
        (["--margin", "-1"], "a --margin of 0 or more"),
        (["--margin", "nan"], "a --margin of 0 or more"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_the_store_is_asked(options, said, model, capsys):
    where = ["--tracking_uri", "http://127.0.0.1:9", "--experiment", "none", "--model", model]
    assert main(["promote", *where, *options]) == 2
    assert said in capsys.readouterr().err


def test_a_checkpoint_that_was_changed_or_is_gone_is_not_promoted(fresh, trained, model, capsys):
    run_id = trained("good")
    root = Path(urlsplit(fresh.client.get_run(run_id).info.artifact_uri).path)
    (root / "checkpoints" / "model.pt").write_text("changed")
    assert promote(fresh, model) == 1
    assert "it was changed since" in capsys.readouterr().err
    assert claims.versions(fresh.client, model) == []


class Away(MlflowException):
    """A server that does not answer any more."""

    def __init__(self) -> None:
        super().__init__("Max retries exceeded: Connection refused")


def away(*_: object, **__: object) -> None:
    raise Away


def test_a_store_that_goes_away_in_mid_promotion_is_gone_on_with(
    fresh, trained, tables, model, capsys, monkeypatch
):
    trained("poor")
    promote(fresh, model)
    trained("good")
    client = type(fresh.client)
    with monkeypatch.context() as gone:
        gone.setattr(client, "set_registered_model_alias", away)
        gone.setattr(client, "delete_model_version", away)
        assert promote(fresh, model) == 1
    assert "promote again, which goes on with version 2" in capsys.readouterr().err
    assert champion(fresh, model) == "1"
    assert promote(fresh, model) == 0
    assert (numbers(fresh, model), champion(fresh, model)) == (["1", "2"], "2")
    with monkeypatch.context() as gone:  # for a moment, so that it can be tidied up
        trained("better", tables["good_1"])
        gone.setattr(client, "set_registered_model_alias", away)
        assert promote(fresh, model, "--because", "a test") == 1
    assert (numbers(fresh, model), champion(fresh, model)) == (["1", "2"], "2")


def a_promotion(store, model: str, name: str, *, replaces: str = "") -> Promotion:
    run_id = store.training(name)
    source = f"runs:/{run_id}/checkpoints"
    return Promotion(model, "champion", replaces, run_id=run_id, sha256=digest_of(name), source=source)


def test_of_promotions_that_overlap_the_first_wins_and_the_other_leaves_nothing(fresh, model):
    first, second, third = (a_promotion(fresh, model, name) for name in ("first", "second", "third"))
    with claimed(fresh.client, first) as claim:
        with (
            pytest.raises(PromotionError, match="version 1, which is being promoted"),
            claimed(fresh.client, second),
        ):
            pass
        claim.take()
    with (
        pytest.raises(PromotionError, match="version 1, which came in between"),
        claimed(fresh.client, third),
    ):
        pass
    assert (numbers(fresh, model), champion(fresh, model)) == (["1"], "1")


def test_a_claim_that_was_deleted_moves_nothing(fresh, model):
    """As by a person who takes its process for dead."""
    with claimed(fresh.client, a_promotion(fresh, model, "slow")) as claim:
        fresh.client.delete_model_version(model, claim.version)
        with pytest.raises(PromotionError, match="a deleted one"):
            claim.take()
    assert champion(fresh, model) == ""


def test_an_alias_that_somebody_took_away_is_left_alone(fresh, model):
    with claimed(fresh.client, a_promotion(fresh, model, "first")) as claim:
        claim.take()
    fresh.client.delete_registered_model_alias(model, "champion")
    promotion = a_promotion(fresh, model, "next", replaces="1")
    with (
        pytest.raises(PromotionError, match="as it was compared with, found none"),
        claimed(fresh.client, promotion),
    ):
        pass
    assert (numbers(fresh, model), champion(fresh, model)) == (["1"], "")


def take(uri: str, promotion: Promotion, start, outcomes) -> None:
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    start.wait()
    try:
        with claimed(client, promotion) as claim:
            claim.take()
    except PromotionError:
        outcomes.put("refused")
    else:
        outcomes.put(str(claim.version))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_of_two_processes_at_most_one_moves_the_alias(fresh, model):
    """Forked, for an import takes seconds; another spelling of the address is another connection."""
    forks = multiprocessing.get_context("fork")
    start, outcomes = forks.Barrier(2), forks.Queue()
    one, other = (a_promotion(fresh, model, name) for name in ("one", "other"))
    uri = fresh.uri.replace("/mlruns.db", "/./mlruns.db")
    process = forks.Process(target=take, args=(uri, one, start, outcomes))
    process.start()
    take(fresh.uri, other, start, outcomes)
    said = {outcomes.get(timeout=60) for _ in range(2)}
    process.join()
    assert said == {"refused", champion(fresh, model)}
    assert numbers(fresh, model) == [champion(fresh, model)]
