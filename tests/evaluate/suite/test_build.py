from dataclasses import replace
from random import Random

import pytest

from bitproof.errors import UsageError
from bitproof.evaluate.prompts import conversation, prompt_ids
from bitproof.evaluate.suite.build import PROFILES, Profile, build_suite
from bitproof.evaluate.suite.registry import find_slice, slices
from bitproof.evaluate.suite.slice import Slice, make_items
from bitproof.models.reference import EMBEDDED, load
from bitproof.types import Item, Message

NAMED = Profile(name="named", items=6, slices=("coherence", "long-context", "arithmetic"))


def made(random: Random, cluster: str, level: float) -> Item:
    message = Message(role="user", content=f"{cluster} {level} {random.random()}")
    return Item(id="", slices=(), cluster="", messages=(message,), grader="exact", gold={}, temperature=level)


TWICE = Slice(
    name="twice",
    title="",
    what="",
    clusters=("a", "b"),
    levels=(0, 1),
    unit="",
    make=made,
    context_tokens=lambda _: 9,
    repeats=3,
)


@pytest.mark.parametrize("name", sorted(slices()))
def test_what_a_slice_says_of_its_context_is_enough_and_not_far_too_much(name: str) -> None:
    tokenizer, slice_ = load(EMBEDDED).tokenizer, find_slice(name)
    needed: dict[float, int] = {}
    levels = [level for level in slice_.levels if slice_.context_tokens(level) <= 4096]
    for item in make_items(slice_, 16 * len(levels), seed=3, level=levels):
        questions = len(item.follow_ups)
        prompt = len(prompt_ids(tokenizer, conversation(item, [""] * questions), where=item.id))
        needed[item.level] = max(needed.get(item.level, 0), prompt + item.max_tokens * (1 + questions))
    for level, tokens in needed.items():
        assert tokens <= slice_.context_tokens(level), (level, tokens)
        assert slice_.context_tokens(level) <= 3 * tokens, (level, tokens)


def test_what_does_not_fit_the_model_is_left_out_with_the_reason() -> None:
    suite = build_suite(NAMED, context_tokens=540)
    assert suite.left_out == {"coherence": "its easiest items take 580 tokens of context, and there are 540"}
    assert suite.levels == {"long-context": (512,), "arithmetic": (1, 2, 3)}
    suite = build_suite(NAMED, context_tokens=600, levels={"coherence": (100, 1000), "arithmetic": (8,)})
    assert suite.levels["coherence"] == (100,)
    assert suite.levels["arithmetic"] == (1, 2, 3, 4)  # none of those given fits
    assert build_suite(NAMED).levels["coherence"] == (100, 300, 1000)


def test_what_takes_a_profile_too_long_is_asked_at_its_easiest() -> None:
    short = replace(NAMED, max_context=300)
    assert build_suite(short).levels == {"coherence": (100,), "long-context": (512,), "arithmetic": (1,)}
    assert all(PROFILES["core"].reachable(slice_) == slice_.levels for slice_ in slices().values())


def test_levels_whose_answers_take_too_long_give_their_items_to_the_others() -> None:
    brief = Profile(name="brief", items=12, slices=("summarization", "code"), max_tokens=120)
    suite = build_suite(brief, levels={"summarization": (2, 4, 6, 8)})
    assert suite.levels == {"summarization": (2, 4)}
    assert len(suite.items) == 12
    assert all(item.max_tokens <= 120 for item in suite.items)
    assert suite.left_out == {"code": "its answers are longer than the 120 tokens of profile brief"}
    with pytest.raises(UsageError, match="has no level 3"):
        build_suite(brief, levels={"summarization": (3,)})


def test_a_prompt_is_asked_as_often_as_its_slice_says_and_every_time_by_another_item() -> None:
    items = make_items(TWICE, 24, seed=1)
    assert len({item.id for item in items}) == 24
    assert items[:7] == make_items(TWICE, 7, seed=1)
    for level in (0, 1):
        prompts = [item.messages[0].content for item in items if item.level == level]
        assert prompts == [prompt for prompt in prompts[::3] for _ in range(3)]
        assert len(set(prompts)) == 4
        assert [prompt[0] for prompt in prompts[::3]] == ["a", "b", "a", "b"]


def own(name: str) -> Item:
    return replace(made(Random(0), "c", 0), id=name, slices=("own",))


def test_ids_of_own_items_are_nobody_elses() -> None:
    with pytest.raises(
        UsageError, match=r"own item 2, slice own: the id 'x' is taken by own item 1, slice own\. Every"
    ):
        build_suite(NAMED, further=[own("x"), own("x")])
    with pytest.raises(UsageError, match="'arithmetic/5/2/1' is taken by the suite's own slice arithmetic"):
        build_suite(NAMED, seed=5, further=[own("y"), own("arithmetic/5/2/1")])
    assert len(build_suite(NAMED, seed=4, further=[own("arithmetic/5/2/1")]).items) == 19
