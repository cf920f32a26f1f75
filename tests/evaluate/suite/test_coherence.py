from collections import Counter
from dataclasses import replace

import pytest

from bitproof.evaluate.graders.languages import words_of
from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.suite.coherence import SLICE, TOPICS
from bitproof.evaluate.suite.slice import make_items
from bitproof.quantize.sources.shipped import shipped
from bitproof.types import Grade, Item, Response

(ITEM,) = make_items(SLICE, 1, seed=1, level=300)


DOCUMENTS = [
    item.text.split()
    for item in shipped("heldout")
    if item.text and item.kind in ("prose", "long") and len(item.text.split()) >= 450
]
LONG = next(words for words in DOCUMENTS if len(words) > 1500)


def essay(words: int, document: list[str] = LONG) -> str:
    """The beginning of a text that people wrote."""
    return " ".join(document[:words])


def terms_of(text: str) -> tuple[str, ...]:
    """The four most frequent long words of a text: what it is about."""
    return tuple(word for word, _ in Counter(word for word in words_of(text) if len(word) > 5).most_common(4))


def graded(*texts: str, words: float = 300, terms: tuple[str, ...] | None = None) -> Grade:
    item: Item = replace(ITEM, gold={"words": words, "terms": list(terms or terms_of(essay(300)))})
    return find_grader("long_text").grade(item, Response(texts=texts, finish="stop"))


SUMMARY = essay(30)


def test_items_ask_for_the_topic_and_its_words() -> None:
    items = make_items(SLICE, 156, seed=4)
    assert len(SLICE.clusters) >= 50
    assert len({item.id for item in items}) == len(items)
    assert items == make_items(SLICE, 156, seed=4)
    for item in items:
        topic = item.cluster.split(":", 1)[1]
        assert topic in item.messages[0].content
        assert f"{item.level:g} words" in item.messages[0].content
        assert set(item.gold["terms"]) == set(TOPICS[topic])
        assert sum(term in item.messages[0].content for term in item.gold["terms"]) >= 2
        assert len(item.follow_ups) == 1
        assert item.max_tokens >= 1.5 * item.level


@pytest.mark.parametrize("words", [100, 300, 1000])
def test_prose_on_its_topic_with_a_summary_scores_high(words: int) -> None:
    grade = graded(essay(words), SUMMARY, words=words, terms=terms_of(essay(words)))
    assert [grade.parts[name] for name in ("coherent", "length", "topic", "summary")] == [1, 1, 1, 1]
    assert isinstance(grade.score, float)
    assert grade.score > 0.9
    assert grade.parts["distinct"] > 0.8


def test_a_loop_scores_nothing() -> None:
    sentence = "The gardener watered the tomato beds near the pond under an apple tree and the roses. "
    grade = graded(sentence * 20, SUMMARY)
    assert (grade.score, grade.parts["coherent"], grade.note) == (0, 0, "loops")
    half = essay(150)
    grade = graded(f"{half} {half}", SUMMARY)  # says everything twice
    assert grade.score == 0
    assert grade.parts["repeat"] > 0.4


@pytest.mark.parametrize("text", ["", "xq zrt bvn klp " * 60, "!!! ### $$$", "word " * 300])
def test_noise_and_nothing_score_nothing(text: str) -> None:
    assert graded(text, SUMMARY).score == 0


def test_length_topic_and_summary_each_cost_a_quarter_at_most() -> None:
    assert graded(essay(90), SUMMARY).parts["length"] == pytest.approx(90 / 180, abs=0.03)
    assert graded(essay(900), SUMMARY).parts["length"] == pytest.approx(450 / 900, abs=0.03)
    off = graded(essay(300), SUMMARY, terms=("piano", "violin", "opera", "choir"))
    assert (off.parts["topic"], off.score) == (0, 0.75)
    assert graded(essay(300), "").score == 0.75
    assert graded(essay(300), "Volcanoes erupt because magma rises through cracks beneath mountains.").score == 0.75
    assert graded(essay(300), essay(300)).parts["summary"] == 0  # no summary: as long as the text


def test_drift_into_something_else_is_seen() -> None:
    """Excerpts of the held-out prose against the same ones whose last third is another text's."""
    steady, drifted = [], []
    for words, other in zip(DOCUMENTS, [*DOCUMENTS[5:], *DOCUMENTS[:5]], strict=True):
        text, terms = essay(300, words), terms_of(essay(200, words))
        steady.append(graded(text, SUMMARY, terms=terms).parts["steady"])
        drifted.append(graded(f"{essay(200, words)} {' '.join(other[-100:])}", SUMMARY, terms=terms).parts["steady"])
    assert sum(drifted) < 0.75 * sum(steady)
    assert sum(value == 1 for value in steady) > 0.7 * len(steady)


def test_a_failed_or_missing_answer_scores_nothing() -> None:
    grade = find_grader("long_text").grade
    assert grade(ITEM, Response(texts=(), finish="error", error="down")).score == 0
    assert graded(essay(300)).parts["summary"] == 0
