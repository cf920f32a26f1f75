import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from bitproof.evaluate.records import Answered
from bitproof.evaluate.results import Evaluation
from bitproof.report.lm_eval_samples import samples
from bitproof.types import Grade, ItemPair, Message, NotMeasured

MakeEvaluation = Callable[..., Evaluation]
FIELDS = {  # of lm-evaluation-harness 0.4, `evaluator.evaluate` with log_samples
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}


def sides(pairs: Sequence[ItemPair]) -> tuple[list[Answered], list[Answered]]:
    """What the reference and what the variant answered."""

    def one(pair: ItemPair, side: str) -> Answered:
        return Answered(
            subject=side,
            item=pair.item,
            response=getattr(pair, side),
            grade=Grade(score=getattr(pair, f"{side}_score")),
            grader_version=1,
            prompt_sha256=None,
            given=NotMeasured("not here"),
            first_change=None,
            margin_nats=NotMeasured("not here"),
        )

    return [one(pair, "reference") for pair in pairs], [one(pair, "variant") for pair in pairs]


def test_samples_have_the_fields_of_the_harness(make_evaluation: MakeEvaluation):
    pairs = make_evaluation().variants[0].worst
    reference, variant = sides(pairs)
    tasks = samples(variant, reference)
    assert list(tasks) == ["arithmetic", "json", "multilingual"]
    sample = json.loads(tasks["arithmetic"][0])
    assert set(sample) == {*FIELDS, "score"}
    assert sample["metrics"] == ["score"]
    assert sample["score"] == 0.0
    assert sample["filtered_resps"] == list(pairs[0].variant.texts)
    assert sample["resps"] == [[pairs[0].variant.text]]
    prompt = sample["arguments"]["gen_args_0"]["arg_0"][0]
    assert json.loads(prompt)[-1] == {"role": "user", "content": pairs[0].item.messages[-1].content}
    assert sample["prompt_hash"] == hashlib.sha256(prompt.encode()).hexdigest()
    assert sample["target_hash"] == hashlib.sha256(sample["target"].encode()).hexdigest()
    assert sample["arguments"]["gen_args_0"]["arg_1"] == {
        "until": [],
        "max_gen_toks": 64,
        "temperature": 0.0,
        "do_sample": False,
    }


def test_both_sides_are_the_same_documents_also_where_one_is_missing(make_evaluation: MakeEvaluation):
    pairs = [
        replace(pair, item=replace(pair.item, id=f"json/{number}", slices=("json",)))
        for number, pair in enumerate(make_evaluation().variants[0].worst)
    ]
    reference, variant = sides(pairs)
    variant[0] = replace(variant[0], grade=Grade(score=NotMeasured("no answer: 503")))
    first, second = ([json.loads(line) for line in samples(side, reference)["json"]] for side in (reference, variant))
    assert [one["doc_id"] for one in first] == [0, 1, 2]
    assert [one["doc_id"] for one in second] == [1, 2]
    assert [one["doc_hash"] for one in first[1:]] == [one["doc_hash"] for one in second]
    assert ({one["score"] for one in first}, {one["score"] for one in second}) == ({1.0}, {0.0})


def test_every_question_is_a_request(make_evaluation: MakeEvaluation):
    pair = make_evaluation().variants[0].worst[0]
    item = replace(pair.item, messages=(Message(role="user", content="one?"),), follow_ups=("two?",))
    pair = replace(pair, item=item, variant=replace(pair.variant, texts=("1", "2")))
    reference, variant = sides([pair])
    sample = json.loads(samples(variant, reference)["arithmetic"][0])
    assert sample["resps"] == [["1"], ["2"]]
    assert sample["filtered_resps"] == ["2"]
    assert [message["content"] for message in json.loads(sample["arguments"]["gen_args_1"]["arg_0"][0])] == [
        "one?",
        "1",
        "two?",
    ]


def test_half_a_surrogate_is_an_escape(hostile: Evaluation):
    reference, variant = sides(hostile.variants[0].worst)
    line = samples(variant, reference)["json"][0]
    line.encode("ascii")
    assert "\ud83d" in json.loads(line)["resps"][0][0]
