"""Percentiles under a queue, waits between tokens, drafts and guided decoding: hand-worked cases and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bitproof.evaluate.speed_client import Sample
from bitproof.evaluate.speed_drafts import passes_needed, speculation_of
from bitproof.evaluate.speed_figures import correlation_time, gap_percentile, percentile, throughput
from bitproof.evaluate.speed_guided import guided_effect
from bitproof.types import Estimate, Grade, Item, Message, NotMeasured, Response


def estimate(figure: Estimate | NotMeasured) -> Estimate:
    assert isinstance(figure, Estimate), figure
    return figure


def test_p95_needs_59_requests_and_p99_299() -> None:
    values = list(np.random.default_rng(1).permutation(299) + 1.0)
    assert percentile(values[:58], 0.95) == NotMeasured("p95 needs 59 requests, and there are 58")
    assert isinstance(percentile(values[:59], 0.95), Estimate)
    assert percentile(values[:298], 0.99) == NotMeasured("p99 needs 299 requests, and there are 298")
    assert estimate(percentile(values, 0.99)).value == 297  # the 297th of 299 is the first with 99 % at or below it


def test_unanswered_requests_are_infinitely_slow() -> None:
    values = [1.0] * 94 + [math.inf] * 6
    missing = percentile(values, 0.95)
    assert isinstance(missing, NotMeasured)
    assert "6 of 100 requests were not answered" in missing.reason
    few = estimate(percentile([1.0] * 97 + [math.inf] * 3, 0.95))
    assert (few.value, few.high) == (1.0, math.inf)  # the true share of failures may be above 5 %


def test_independent_requests_keep_their_number_and_a_queue_loses_most_of_it() -> None:
    random = np.random.default_rng(2)
    assert correlation_time(random.exponential(size=400)) < 1.7
    assert correlation_time(np.repeat(random.exponential(size=40), 10)) == pytest.approx(10, rel=0.5)
    assert correlation_time(np.ones(10)) == 1
    alike = estimate(percentile(list(np.repeat(random.exponential(size=40), 10)), 0.95))
    assert alike.n == 400
    assert alike.n_clusters < 59
    assert math.isinf(alike.high)
    assert "count as" in alike.method


def test_bounds_hold_in_simulated_queues() -> None:
    """One server, exponential service, half loaded: the median and the 95th percentile of 300 requests."""
    random, load = np.random.default_rng(3), 0.5
    truth = {q: -math.log(1 - q) / (1 - load) for q in (0.5, 0.95)}
    missed = dict.fromkeys(truth, 0)
    for _ in range(120):
        come, served = random.exponential(1 / load, 400), random.exponential(1, 400)
        wait = np.zeros(400)
        for i in range(1, 400):
            wait[i] = max(0.0, wait[i - 1] + served[i - 1] - come[i])
        for q in truth:
            missed[q] += estimate(percentile(list((wait + served)[100:]), q)).high < truth[q]
    assert all(misses <= 14 for misses in missed.values())  # 6 expected at 95 %; 14 or more has a chance of .2 %


def sample(pieces_s: list[float], tokens: int, sent_s: float = 0.0) -> Sample:
    return Sample(due_s=sent_s, sent_s=sent_s, done_s=pieces_s[-1], pieces_s=tuple(pieces_s), answer_tokens=tokens)


def test_waits_between_tokens_are_pooled_and_counted_by_request() -> None:
    random = np.random.default_rng(4)
    samples = [sample(list(np.cumsum(random.exponential(0.01, 41))), 41) for _ in range(60)]
    found = estimate(gap_percentile(samples))
    assert found.low < 0.01 * math.log(20) < found.high
    assert found.n == 60 * 40
    assert found.n_clusters == 60
    assert isinstance(gap_percentile(samples[:9]), NotMeasured)


def test_throughput_leaves_out_ramp_and_drain() -> None:
    """One answer of 10 tokens ends every 0.1 s: 100 tokens/s, whatever the first and the last ones waited."""
    samples = [Sample(due_s=0.1 * i, sent_s=0.1 * i, done_s=0.1 * i + 2.0, answer_tokens=10) for i in range(1, 101)]
    found = estimate(throughput(samples, tokens=True))
    assert found.value == pytest.approx(100, rel=0.01)
    assert found.low <= 100 * 1.001
    assert estimate(throughput(samples, tokens=False)).value == pytest.approx(10, rel=0.01)
    assert isinstance(throughput(samples[:1], tokens=True), NotMeasured)


@pytest.mark.parametrize(
    ("agree", "draft_tokens", "expected"),
    [
        # TTTT with 2 drafts: pass 1 takes 2 and adds 1; one token is left, which the target makes itself.
        ([1, 1, 1, 1], 2, (2, 2, 2)),
        # Never right: every token costs a pass; 3, 2, 1 and 0 tokens of what is left but one are proposed.
        ([0, 0, 0, 0], 3, (4, 6, 0)),
        # Right, wrong, right, right: pass 1 takes one and corrects one; pass 2 takes one and adds one.
        ([1, 0, 1, 1], 4, (2, 4, 2)),
        ([1], 5, (1, 0, 0)),
    ],
)
def test_replay_of_a_draft_by_hand(agree: list[int], draft_tokens: int, expected: tuple[int, int, int]) -> None:
    assert passes_needed(np.array(agree, dtype=bool), draft_tokens) == expected


def test_tokens_per_pass_match_the_geometric_formula_where_acceptance_is_independent() -> None:
    """Leviathan et al., equation 1: (1 - a^(g + 1)) / (1 - a)."""
    random, share, draft_tokens = np.random.default_rng(5), 0.8, 4
    found = speculation_of({str(i): random.random(500) < share for i in range(80)}, draft_tokens)
    assert estimate(found.acceptance).value == pytest.approx(share, abs=0.01)
    expected = (1 - share ** (draft_tokens + 1)) / (1 - share)
    assert estimate(found.tokens_per_pass).value == pytest.approx(expected, rel=0.02)
    nothing = speculation_of({})
    assert isinstance(nothing.acceptance, NotMeasured)


def graded(score: float, valid: float, seconds: float, tokens: int) -> tuple[Response, Grade]:
    return (
        Response(texts=("x",), finish="stop", answer_tokens=tokens, total_s=seconds, first_token_s=0.1),
        Grade(score=score, parts={"valid_schema": valid}),
    )


def test_guiding_repairs_breaks_and_costs() -> None:
    items = [
        Item(
            id=str(i),
            slices=("json",),
            cluster=f"c{i % 5}",
            messages=(Message(role="user", content="?"),),
            grader="json",
            gold={},
        )
        for i in range(20)
    ]
    free = {str(i): graded(float(i < 10), float(i < 12), 1.0, 10) for i in range(20)}
    guided = {str(i): graded(float(2 <= i < 15), 1.0, 1.5, 12) for i in range(19)}
    refused = Response(texts=("",), finish="error", error="HTTP 400: no grammar")
    guided["19"] = refused, Grade(score=0.0, parts={"valid_schema": 0.0})
    found = guided_effect(items, free, guided, target="t", slice_="json")
    assert (found.n_items, found.n_clusters, found.failed) == (19, 5, 1)
    assert found.failures == {"HTTP 400: no grammar": 1}
    assert (found.repaired, found.broken) == (5, 2)
    assert estimate(found.score_difference).value == pytest.approx(3 / 19)
    assert estimate(found.valid_free).value == pytest.approx(12 / 19)
    assert estimate(found.valid_guided).value == 1
    assert estimate(found.time_ratio).value == pytest.approx(1.5)
    assert estimate(found.token_ratio).value == pytest.approx(1.2)
    assert estimate(found.token_time_ratio).value == pytest.approx((1.4 / 11) / (0.9 / 9))
    assert estimate(found.score_free).value == pytest.approx(10 / 19)
    assert estimate(found.score_guided).value == pytest.approx(13 / 19)
    nothing = guided_effect(items, {}, {}, target="t", slice_="json")
    assert isinstance(nothing.score_difference, NotMeasured)
    half = guided_effect(items, free, {"0": guided["0"]}, target="t", slice_="json")
    assert (half.n_items, half.failed, nothing.failed) == (1, 0, 0)  # what was not asked both ways did not fail
    lacking = guided_effect(items, free, guided, target="t", slice_="json", valid="schema")
    assert isinstance(lacking.valid_free, NotMeasured)
