"""The run over a folder of cached answers: who is the auditor, who the bank, and what is said where one is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.audit_cache import Answer, write_answers
from benchmarks.audit_peer_power import Curve, Plan
from benchmarks.audit_peers import Bench, Row, rows, worst

from bitproof.engines.generation import TokenLogprob

PROBES = 60


def answers(noise: float, seed: int) -> list[Answer]:
    """Two tokens a probe of a model with four tokens, whose logits are moved by normal noise."""
    truth, rng = np.random.default_rng(0).normal(size=(PROBES, 2, 4)) * 2, np.random.default_rng(seed)
    logits = truth + noise * rng.normal(size=truth.shape)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found = []
    for probe, places in enumerate(logprobs):
        tokens = []
        for place in places:
            top = tuple(TokenLogprob("abcd"[i], float(place[i]), int(i)) for i in np.argsort(-place))
            tokens.append(replace(top[0], top=top))
        found.append(
            Answer(
                probe=probe,
                sample=0,
                text="".join(token.text for token in tokens),
                finish="length",
                prompt_tokens=3,
                answer_tokens=2,
                token_ids=None,
                tokens=tuple(tokens),
            )
        )
    return found


def bench(folder: Path, *engines: str) -> Bench:
    for number, engine in enumerate(engines):
        for name, noise in (("reference", 0.02), ("w4a16-rtn-g64", 1.0)):
            path = folder / engine / name / "greedy8.jsonl"
            path.parent.mkdir(parents=True)
            write_answers(path, {"engine": engine, "class": name}, answers(noise, 10 * number + (noise > 0.5)))
    return Bench(folder=folder, work=folder, master=None, plan=Plan(audits=200), probes=tuple(range(PROBES)))


def test_an_endpoint_is_compared_with_engines_of_other_families(tmp_path):
    made = bench(tmp_path, "vllm", "vllm-batched", "llamacpp", "transformers-batched")
    found = {(row.name, row.threshold): row for row in rows(made, "lt-top5", "vllm", [])}
    assert set(found) == {("reference", "bank"), ("w4a16-rtn-g64", "bank"), ("w4a16-rtn-g64", "oracle")}
    row = found["w4a16-rtn-g64", "bank"]
    assert (row.auditor, row.bank) == ("transformers-batched", ("llamacpp",))
    assert row.curve is not None
    assert row.curve.tokens is not None
    assert row.curve.tokens <= 3
    assert row.false_alarms is not None
    assert row.false_alarms <= 0.05
    alike = found["reference", "bank"].curve
    assert alike is not None
    assert alike.tokens is None


def test_classes_can_be_chosen_and_intervals_asked_for(tmp_path):
    made = bench(tmp_path, "vllm", "llamacpp", "transformers-batched")
    row, *_ = rows(made, "b3it-path", "llamacpp", ["w4a16-rtn-g64"], intervals=3)
    assert row.name == "w4a16-rtn-g64"
    assert row.interval is not None
    assert row.interval[0] <= row.interval[1]


def test_without_a_bank_nothing_is_measured_and_the_reason_is_given(tmp_path):
    found = list(rows(bench(tmp_path, "vllm", "vllm-batched", "llamacpp"), "lt-top5", "vllm", []))
    assert [row.curve for row in found] == [None, None]
    assert "1 engines of other families" in found[0].why
    assert worst(found, "lt-top5", ["w4a16-rtn-g64"], threshold="bank") is None


def test_peers_with_weights_say_that_they_need_them(tmp_path):
    with pytest.raises(SystemExit, match="--master"):
        list(rows(bench(tmp_path, "vllm", "llamacpp", "transformers-batched"), "token-difr", "vllm", []))


def test_the_worst_engine_is_the_one_that_needs_most():
    def row(engine: str, tokens: int | None, power: float) -> Row:
        curve = Curve(budgets=(5, 10), power=(0.5, power), false_alarms=(), tokens=tokens)
        return Row(peer="p", engine=engine, name="nf4", threshold="bank", curve=curve)

    found = [row("a", 5, 1.0), row("b", 10, 1.0)]
    assert worst(found, "p", ["nf4"], threshold="bank") is found[1]
    found += [row("c", None, 0.3), row("d", None, 0.2)]
    assert worst(found, "p", ["nf4"], threshold="bank") is found[3]
    assert worst(found, "p", ["nf4"], threshold="own") is None
