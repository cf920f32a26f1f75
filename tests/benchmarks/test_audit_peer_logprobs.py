"""LT and B3IT: worked cases of what is compared, and that both see a change and no change."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.audit_cache import Answer
from benchmarks.audit_peer_logprobs import lt_difference, prepare_b3it, prepare_lt
from benchmarks.audit_peer_power import Plan, power_curve

from bitproof.engines.generation import TokenLogprob


def token(*top: tuple[str, float], ids: bool = True) -> TokenLogprob:
    """A greedy token: the likeliest of `top`, letters with their logprobs."""
    entries = tuple(TokenLogprob(text, logprob, ord(text) if ids else None) for text, logprob in top)
    return replace(entries[0], top=entries)


def answer(probe: int, *tokens: TokenLogprob) -> Answer:
    text = "".join(one.text for one in tokens)
    return Answer(
        probe=probe,
        sample=0,
        text=text,
        finish="length",
        prompt_tokens=3,
        answer_tokens=len(tokens),
        token_ids=None,
        tokens=tokens,
    )


def test_lt_difference_by_hand():
    """a: .2 apart; b: -2 against the other's smallest, -3; c: the one's smallest, -2, against -3."""
    assert lt_difference({"a": -0.5, "b": -2.0}, {"a": -0.7, "c": -3.0}) == pytest.approx((0.2 + 1.0 + 1.0) / 3)
    assert lt_difference({"a": -0.5}, {"a": -0.5}) == 0.0


def test_lt_compares_until_the_answers_part_and_pays_for_all():
    ours = answer(0, token(("a", -0.1), ("b", -2.0)), token(("c", -0.3), ("d", -1.3)), token(("e", -1.0), ("f", -2.0)))
    theirs = answer(
        0, token(("a", -0.2), ("b", -2.2)), token(("d", -0.5), ("c", -0.9)), token(("e", -9.0), ("f", -9.0))
    )
    found = prepare_lt([theirs], [ours], [0, 1], top=2, first=8)
    assert found.values[0, :2] == pytest.approx([(0.1 + 0.2) / 2, (0.6 + 0.8) / 2])
    assert np.isnan(found.values[0, 2:]).all()  # the third follows another text
    assert found.cost_tokens.tolist() == [3, 0]


def test_lt_reads_no_more_than_it_may():
    ours = answer(0, token(("a", -0.1), ("b", -2.0), ("c", -3.0)))
    theirs = answer(0, token(("a", -0.1), ("b", -2.0), ("c", -9.0)))
    assert prepare_lt([theirs], [ours], [0], top=2, first=1).values[0, 0] == 0.0
    assert prepare_lt([theirs], [ours], [0], top=3, first=1).values[0, 0] == pytest.approx(2.0)


def test_lt_goes_by_texts_where_one_side_gives_no_ids():
    ours = answer(0, token(("a", -0.1), ("b", -2.0)))
    theirs = answer(0, token(("a", -0.3), ("b", -2.0), ids=False))
    assert prepare_lt([theirs], [ours], [0], top=2, first=1).values[0, 0] == pytest.approx(0.1)


def test_impossible_tokens_are_left_out():
    """A server that says -inf (null in the file) for some of them."""
    ours = answer(0, token(("a", -0.1), ("b", -2.0)))
    theirs = answer(0, token(("a", -0.1), ("b", -math.inf)))
    assert prepare_lt([theirs], [ours], [0], top=2, first=1).values[0, 0] == pytest.approx(1.9 / 2)


def test_b3it_asks_the_nearest_ties_only():
    gaps = (2.0, 0.1, 0.5, 0.01)
    ours = [answer(i, token(("a", -0.5), ("b", -0.5 - gap))) for i, gap in enumerate(gaps)]
    theirs = [answer(i, token(("b", -0.4), ("a", -0.6))) for i in range(4)]
    theirs[1] = ours[1]
    found = prepare_b3it(theirs, ours, range(4), inputs=2)
    assert found.cost_tokens.tolist() == [0, 1, 0, 1]
    assert found.values[[1, 3], 0].tolist() == [0.0, 1.0]


def test_b3it_along_the_path_ends_where_the_answers_part():
    near = token(("a", -0.5), ("b", -0.6))
    far = token(("a", -0.5), ("b", -3.0))
    flipped = token(("b", -0.5), ("a", -0.6))
    ours, theirs = answer(0, near, far, near, near), answer(0, near, far, flipped, near)
    found = prepare_b3it([theirs], [ours], [0], inputs=3, places="path")
    assert found.values[0, :2].tolist() == [0.0, 1.0]
    assert found.cost_tokens.tolist() == [2]


def simulated(noise: float, seed: int, *, prompts: int = 240, tokens: int = 4) -> list[Answer]:
    """Answers of one model whose four logits a place are moved by normal noise; the logits are the same for all."""
    truth, rng = np.random.default_rng(0).normal(size=(prompts, tokens, 4)) * 2, np.random.default_rng(seed)
    logits = truth + noise * rng.normal(size=truth.shape)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    places = [[sorted(zip("abcd", place, strict=True), key=lambda one: -one[1]) for place in row] for row in logprobs]
    return [answer(i, *(token(*place) for place in row)) for i, row in enumerate(places)]


@pytest.mark.parametrize(("peer", "most"), [("lt", 4), ("b3it", 60)])
def test_a_noisier_model_is_found_and_a_like_one_is_not(peer, most):
    def prepare(answers):
        if peer == "lt":
            return prepare_lt(answers, ours, range(240), top=4, first=4)
        return prepare_b3it(answers, ours, range(240), inputs=100)

    ours = simulated(0.02, seed=1)
    bank, same = ([prepare(simulated(0.02, seed=seed)) for seed in seeds] for seeds in ((2, 3), (4,)))
    curve = power_curve(prepare(simulated(1.0, seed=5)), bank, Plan(audits=1000), same_engine=same[0])
    assert curve.tokens is not None
    assert curve.tokens <= most
    assert curve.false_alarms[curve.budgets.index(curve.tokens)] <= 0.04
