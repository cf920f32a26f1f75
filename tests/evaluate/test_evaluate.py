"""The whole evaluation on a tiny ladder: what comes out, that it resumes, and what it refuses."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bitproof.errors import UsageError
from bitproof.evaluate.comparison import Paired, pair
from bitproof.evaluate.decision import choose_variants, in_selection, recommend
from bitproof.evaluate.evaluate import _decide, evaluate
from bitproof.evaluate.hosts import Target, open_host
from bitproof.evaluate.plan import Plan
from bitproof.evaluate.requirements import parse_requirement
from bitproof.evaluate.results import Evaluation
from bitproof.evaluate.runner import Answers
from bitproof.evaluate.suite.build import Profile, build_suite
from bitproof.evaluate.tiers import choose
from bitproof.quantize.artifact import read_record
from bitproof.types import Estimate, Grade, Item, Message, NotMeasured, Response

TINY = Profile(name="demo", items=4, max_tokens=48, max_context=300)


def own_items(n: int = 12) -> list[Item]:
    """Questions that a random model answers now and then: its own favourite letter is the right answer."""
    return [
        Item(
            id=f"own/{i}",
            slices=("own",),
            cluster=f"c{i // 2}",
            messages=(Message(role="user", content=f"{i} say something {chr(97 + i)}"),),
            grader="contains",
            gold={"expected": ["a"]},
            level=float(i % 3),
            max_tokens=8,
        )
        for i in range(n)
    ]


def run(ladder: Any, out: Path, **options: Any) -> Any:
    given = {"profile": TINY, "slices": ("rare-vocabulary",), "further": tuple(own_items()), "noise": False}
    place = open_host("emulation", ladder.reference, ladder.artifacts)
    return evaluate(place, Plan(**{**given, **options}), out=out)


@pytest.fixture(scope="module")
def found(ladder: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(ladder, tmp_path_factory.mktemp("run"), noise=True)


def test_every_variant_is_compared_on_every_slice(found, ladder):
    assert found.slices == ("rare-vocabulary", "own")
    assert [variant.name for variant in found.variants] == [
        artifact.variant.name for artifact in sorted(ladder.artifacts, key=lambda one: -one.size_bytes)
    ]
    for variant in found.variants:
        assert [comparison.slice for comparison in variant.comparisons] == list(found.slices)
        assert variant.overall.n_items == sum(comparison.n_items for comparison in variant.comparisons) == found.n_items
        own = variant.comparisons[1]
        assert own.n_items == 12
        assert own.n_clusters == 6
        assert isinstance(own.kl_nats, Estimate)
        assert own.difference.value == pytest.approx(own.variant_score.value - own.reference_score.value)
        assert (own.gained - own.lost) / 12 == pytest.approx(own.difference.value)


def test_fewer_bits_diverge_more(found):
    kl = {variant.name: variant.overall.kl_nats.value for variant in found.variants}
    assert kl["w8a16-rtn-channel"] < kl["w4a16-gptq-g32"] < kl["w3a16-rtn-g32"]


def test_fewer_bits_make_a_worse_draft(found):
    """Of the reference: the share of its greedy tokens that are the variant's own choice, and tokens for each pass."""
    drafts = {variant.name: variant.as_draft for variant in found.variants}
    for name, draft in drafts.items():
        flips = next(variant.overall.top1_flips for variant in found.variants if variant.name == name)
        assert draft.acceptance.value == pytest.approx(1 - flips.value)
    assert drafts["w8a16-rtn-channel"].acceptance.value > drafts["w3a16-rtn-g32"].acceptance.value
    assert drafts["w8a16-rtn-channel"].tokens_per_pass.value > drafts["w3a16-rtn-g32"].tokens_per_pass.value > 1


def test_the_reference_against_itself_is_below_every_variant(found):
    bfloat16, reworded = found.noise
    least = min(variant.overall.kl_nats.value for variant in found.variants)
    assert 0 < bfloat16.overall.kl_nats.value < least
    assert isinstance(reworded.overall.kl_nats, NotMeasured)  # another prompt has other distributions
    assert reworded.overall.answers_changed.value > 0


def test_margins_are_measured_where_outcomes_show_nothing(found):
    """A random model copies nothing: its rare-vocabulary answers are at the floor, and items have wrong answers."""
    assert found.reference_scores["rare-vocabulary"].value == 0
    change = {variant.name: variant.comparisons[0].margin_change_nats for variant in found.variants}
    assert all(isinstance(one, Estimate) for one in change.values())
    assert abs(change["w8a16-rtn-channel"].value) < abs(change["w3a16-rtn-g32"].value)
    assert all(isinstance(variant.comparisons[1].margin_change_nats, NotMeasured) for variant in found.variants)


def test_a_second_run_asks_nothing_and_finds_the_same(ladder, tmp_path, monkeypatch):
    first = run(ladder, tmp_path)
    monkeypatch.setattr("bitproof.store.runs.Store.keep_completion", None)  # calling it would fail
    second = run(ladder, tmp_path)
    assert [variant.comparisons for variant in second.variants] == [variant.comparisons for variant in first.variants]
    assert second.plan_digest == first.plan_digest


def test_a_second_run_starts_no_engine(ladder, tmp_path, monkeypatch):
    first = run(ladder, tmp_path, noise=True)
    monkeypatch.setattr("bitproof.evaluate.hosts.EmulatedGenerator.__init__", None)  # calling it would fail
    second = run(ladder, tmp_path, noise=True)
    assert [one.comparisons for one in second.noise] == [one.comparisons for one in first.noise]


def test_divergence_is_measured_when_only_the_reference_was_answered_before(ladder, tmp_path, found):
    """Its states are not kept: they are read again, from the answers that are."""
    run(ladder, tmp_path)
    with sqlite3.connect(tmp_path / "run.sqlite") as connection:
        rows = connection.execute("SELECT key, record FROM completions").fetchall()
        theirs = [key for key, record in rows if "kl_nats" in record and "[" in record.split('"kl_nats": ')[1][:1]]
        assert theirs
        connection.executemany("DELETE FROM completions WHERE key = ?", [(key,) for key in theirs])
    assert_alike(run(ladder, tmp_path), found)


def assert_alike(one: Evaluation, other: Evaluation) -> None:
    """The same answers; divergence up to rounding, as the reference's states were computed in other batches."""
    for mine, theirs in zip(one.variants, other.variants, strict=True):
        assert [row.difference for row in mine.comparisons] == [row.difference for row in theirs.comparisons]
        assert [row.answers_changed for row in mine.comparisons] == [row.answers_changed for row in theirs.comparisons]
        assert mine.overall.kl_nats.value == pytest.approx(theirs.overall.kl_nats.value, rel=1e-3)


class Scripted:
    """A run whose variants lose what they are told to: `lost[name]` of every 100 items; 50 items a look."""

    def __init__(self, looks: int, lost: dict[str, int], *, most: int = 10_000) -> None:
        wanted = (parse_requirement("all>=-10pp"),)
        self.plan = Plan(profile=TINY, requirements=wanted, looks=looks)
        sizes = {name: 1000 - 100 * number for number, name in enumerate(lost)}
        self.variants = [
            Target(name=name, digest=name, open=None, size_bytes=size, bits_per_parameter=4.0)  # type: ignore[arg-type]
            for name, size in sizes.items()
        ]
        self.losses: dict[str, Any] = {}
        self.followed: list[tuple[str, int]] = []
        self._lost, self._most = lost, most

    def suite_of(self, look: int) -> Any:
        return SimpleNamespace(items=own_items(min(50 * look, self._most)))

    def lead(self, look: int = 1) -> None:
        """Nobody is there to be asked."""

    def follow(self, target: Target, look: int = 1) -> Paired:
        self.followed.append((target.name, look))
        items = [replace(item, cluster=f"c{number}") for number, item in enumerate(self.suite_of(look).items)]
        lost = [number % 100 < self._lost[target.name] for number in range(len(items))]
        answers = Answers(subject=target.name)
        answers.responses = {item.id: Response(texts=("x",), finish="stop") for item in items}
        expected = {item.id: Grade(score=float(number % 4 > 0)) for number, item in enumerate(items)}
        given = {
            item.id: Grade(score=0.0) if gone else expected[item.id] for item, gone in zip(items, lost, strict=True)
        }
        return pair(items, (answers, expected), (answers, given))


def decided(run: Scripted) -> tuple[Any, dict[str, int]]:
    return _decide(run, {target.name: run.follow(target) for target in run.variants})  # type: ignore[arg-type]


def test_a_variant_that_the_items_do_not_decide_is_looked_at_again():
    """Those before it have passed and are left alone; those after it wait for their turn."""
    found, looks = decided(run := Scripted(4, {"large": 0, "middle": 3, "small": 60, "least": 0}))
    assert found.chosen == "middle"
    assert [rung.outcome for rung in found.rungs][:3] == ["pass", "pass", "fail"]
    assert looks["large"] > 1  # 50 items do not pass at the level of the first look, although nothing was lost
    assert looks["least"] == 1
    asked = [name for name, look in run.followed if look > 1]
    assert asked == sorted(asked, key=["large", "middle", "small"].index)
    once, _ = decided(Scripted(1, {"large": 3}))
    assert once.rungs[0].outcome == "inconclusive"


def test_looks_end_where_the_plan_or_the_items_do():
    found, looks = decided(run := Scripted(2, {"large": 9}))
    assert (found.rungs[0].outcome, looks["large"]) == ("inconclusive", 2)
    assert run.followed == [("large", 1), ("large", 2)]
    found, looks = decided(run := Scripted(5, {"large": 9}, most=50))
    assert run.followed == [("large", 1)]


def test_further_looks_ask_further_items(ladder, tmp_path):
    once, more = run(ladder, tmp_path / "once"), run(ladder, tmp_path / "more", looks=2)
    assert more.suite_digest == once.suite_digest
    assert more.plan_digest != once.plan_digest
    assert "at most 2, at the one-sided levels 0.0056, 0.048" in more.how["Looks"]


def test_a_run_killed_with_9_goes_on(ladder, tmp_path, found):
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        f"sys.path[:0] = {[str(Path(__file__).parents[2])]!r}\n"
        "from bitproof.models import load\nfrom bitproof.quantize.artifact import read_artifact\n"
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        f"spec = spec_from_file_location('helper', {__file__!r})\n"
        "helper = module_from_spec(spec)\nspec.loader.exec_module(helper)\n"
        "class Ladder: pass\nladder = Ladder()\n"
        "ladder.reference = load(Path(sys.argv[1]))\n"
        "ladder.artifacts = [read_artifact(Path(path)) for path in sys.argv[3:]]\n"
        "helper.run(ladder, Path(sys.argv[2]))\n"
    )
    out = tmp_path / "out"
    paths = [str(artifact.path) for artifact in ladder.artifacts]
    command = [sys.executable, str(script), str(ladder.reference.path), str(out), *paths]
    process = subprocess.Popen(command)
    try:
        while kept(out) < 20 and process.poll() is None:
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = kept(out)
    again = run(ladder, out)
    assert 20 <= before < kept(out)
    assert_alike(again, found)


def kept(out: Path) -> int:
    """Completions in a run's database."""
    try:
        with sqlite3.connect(f"file:{out / 'run.sqlite'}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM completions").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_a_folder_holds_one_plan(ladder, tmp_path):
    run(ladder, tmp_path)
    for change, words in (
        ({"requirements": (parse_requirement("all>=-3pp"),)}, "requirements differ"),
        ({"further": tuple(own_items(11))}, "suite differ"),
        ({"alpha": 0.01}, "alpha differ"),
    ):
        with pytest.raises(UsageError, match=rf"belongs to another run: .*{words}.*another --out"):
            run(ladder, tmp_path, **change)


def test_a_changed_scale_is_another_model(ladder, tmp_path):
    """A variant is known by its weights, not by its name: a run goes on with those it began with."""
    from shutil import copytree

    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    artifact = ladder.artifacts[1]
    copy = tmp_path / artifact.path.name
    copytree(artifact.path, copy)
    one = SimpleNamespace(reference=ladder.reference, artifacts=[replace(artifact, path=copy)])
    first = run(one, tmp_path / "out")
    block = copy / "blocks" / "00000.safetensors"
    tensors = load_file(block)
    with safe_open(block, framework="pt") as file:
        metadata = file.metadata()
    for name in tensors:
        if name.endswith(":scale"):
            tensors[name] = tensors[name] * 1.1
    save_file(tensors, block, metadata=metadata)
    with pytest.raises(UsageError, match=r"belongs to another run: its variants differ"):
        run(one, tmp_path / "out")
    second = run(one, tmp_path / "other")
    assert second.variants[0].overall.kl_nats.low > first.variants[0].overall.kl_nats.high
    assert read_record(copy)["variant"] == read_record(artifact.path)["variant"]


def test_levels_are_those_at_which_the_reference_sometimes_fails():
    assert choose({1: 0.9, 2: 0.7, 3: 0.3, 4: 0.1}) == (2, 3)
    assert choose({1: 0.1, 2: 0.0, 3: 0.0}) == (1,)
    assert choose({1: 1.0, 2: 1.0, 3: 0.9}) == (3,)
    assert choose({1: 0.2, 2: 0.8}) == (1, 2)


def test_a_suite_grows_without_changing_and_has_a_digest():
    small, large = (build_suite(replace(TINY, items=n), names=["rare-vocabulary"], seed=1) for n in (6, 12))
    assert [item for item in large.items if item in small.items] == list(small.items)
    assert small.digest != large.digest
    assert small.digest == build_suite(replace(TINY, items=6), names=["rare-vocabulary"], seed=1).digest
    assert small.digest != build_suite(replace(TINY, items=6), names=["rare-vocabulary"], seed=2).digest


def test_an_unknown_slice_is_refused(ladder, tmp_path):
    with pytest.raises(UsageError, match=r"no slice 'rare'.*There are: .*rare-vocabulary"):
        run(ladder, tmp_path, slices=("rare",))


def test_a_requirement_that_nobody_measures_is_refused_before_anything_is_asked(ladder, tmp_path):
    with pytest.raises(UsageError, match="nothing measures 'code'"):
        run(ladder, tmp_path, requirements=(parse_requirement("code>=-2pp"),))


def test_splits_hold_whole_clusters_and_a_third():
    clusters = [f"c{i // 3}" for i in range(3000)]
    chosen = in_selection(clusters, seed=1)
    assert 0.28 < chosen.mean() < 0.38
    assert all(len(set(chosen[i : i + 3])) == 1 for i in range(0, 3000, 3))
    assert (in_selection(clusters, seed=2) != chosen).any()


class ItemPairLike:
    """An answer that took so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.variant = Response(texts=("x",), finish="stop", total_s=seconds)


class Known:
    """Paired results with a given rate of losses: what the decision sees of a comparison."""

    def __init__(self, lost: float, *, gained: float = 0.0, n: int = 2000, kl: float | None = None) -> None:
        random = np.random.default_rng(5)
        flips = random.choice([-1.0, 1.0, 0.0], n, p=[lost, gained, 1 - lost - gained])
        self.reference_score = np.where(flips == 0, (np.arange(n) % 2).astype(float), (flips < 0).astype(float))
        self.variant_score = self.reference_score + flips
        self.difference = flips
        self.cluster = np.array([f"c{i}" for i in range(n)])
        self.pairs = [ItemPairLike(0.5 + i / n) for i in range(n)]
        self.forced = [None if kl is None else type("F", (), {"kl_nats": np.array([kl])})] * n

    def of_slice(self, name: str) -> Any:
        return np.arange(len(self.pairs)) % 2 == (name == "odd")


def decision(losses: list[Known], require: str = "all>=-3pp") -> Any:
    names = [f"v{number}" for number in range(len(losses))]
    targets = [
        Target(name=name, digest=name, open=None, size_bytes=1000 - 100 * number, bits_per_parameter=8.0)  # type: ignore[arg-type]
        for number, name in enumerate(names)
    ]
    found = recommend([parse_requirement(require)], targets, dict(zip(names, losses, strict=True)), seed=0)  # type: ignore[arg-type]
    return names, found


def test_the_smallest_proven_variant_before_the_first_that_is_not():
    names, found = decision([Known(0.0), Known(0.01), Known(0.2), Known(0.0)])
    assert found.chosen == names[1]
    assert [rung.outcome for rung in found.rungs] == ["pass", "pass", "fail", "pass"]
    assert [rung.tested for rung in found.rungs] == [True, True, True, False]
    assert names[1] in found.words
    assert "a loss of more than 3 points is shown" in found.words


def test_what_cannot_be_decided_says_how_many_items_would():
    _, found = decision([Known(0.06, gained=0.04, n=300)])
    assert (found.chosen, found.outcome) == (None, "inconclusive")
    (gate,) = found.rungs[0].gates
    assert gate.items_needed
    assert f"{gate.items_needed:,} fresh items" in found.rungs[0].why


def test_sizes_are_exact():
    _, found = decision([Known(0.0)], "size_mb<=1")
    assert found.outcome == "pass"
    _, found = decision([Known(0.0)], "size_mb<=0.0001")
    assert found.outcome == "fail"


def test_of_two_of_one_size_the_better_is_tested_on_other_items():
    sizes = {"a": 1000, "b": 980, "c": 500}
    paired: Any = {"a": Known(0.1, kl=0.5), "b": Known(0.2, kl=0.1), "c": Known(0.0, kl=0.9)}
    assert choose_variants(sizes, paired, seed=0) == {"a": "b has about its size and did better on the selection split"}
    without: Any = {"a": Known(0.1), "b": Known(0.2), "c": Known(0.0)}
    assert list(choose_variants(sizes, without, seed=0)) == ["b"]
