import re

from bitproof.evaluate.graders.choice import GRADER
from bitproof.evaluate.suite.classification import OPTIONS, SHOWN, SLICE
from bitproof.evaluate.suite.classification_texts import TASKS
from bitproof.evaluate.suite.slice import make_items
from bitproof.types import Response


def test_right_is_right_and_wrong_is_wrong_at_every_level():
    for level in SLICE.levels:
        items = make_items(SLICE, 2 * len(SLICE.clusters), seed=1, level=level)
        for item in items:
            task, _, label = item.cluster.removeprefix("classification:").partition("/")
            assert item.gold["label"] == item.right == label
            assert len(set(item.gold["options"])) == OPTIONS[int(level)]
            assert {item.right, item.wrong} <= set(item.gold["options"]) <= set(TASKS[task].labels)
            told = [message.content for message in item.messages]
            assert f"Answer with one of: {', '.join(item.gold['options'])}.\n\n" in told[0]
            assert not re.search(r"[{}]|None", "".join(told))
            for text, score in ((item.right, 1), (f"**{label.capitalize()}**.", 1), (item.wrong, 0), ("", 0)):
                assert GRADER.grade(item, Response(texts=(text or "",), finish="stop")).score == score
        assert len({item.id for item in items}) == len(items)


def test_clusters_share_no_text_and_every_label_has_two_plain_and_two_subtle_ones():
    texts = [text for task in TASKS.values() for label in task.labels.values() for text in label]
    assert len(SLICE.clusters) == len(set(SLICE.clusters)) == 64
    assert len(set(texts)) == len(texts) == 4 * 64


def test_a_subtle_text_does_not_name_its_label():
    for task in TASKS.values():
        for label, texts in task.labels.items():
            assert not any(re.search(rf"\b{label}\b", text, re.IGNORECASE) for text in texts[2:])


def test_the_right_option_stands_in_every_place():
    items = make_items(SLICE, 256, seed=2, level=5)
    places = [item.gold["options"].index(item.right) for item in items]
    assert all(places.count(place) >= 12 for place in range(8))  # 32 expected, standard deviation 5.3


def test_the_aside_names_a_label_that_does_not_apply():
    for item in make_items(SLICE, 64, seed=3, level=5):
        assert item.wrong in item.messages[-1].content.partition("\n\n")[2]


def test_every_option_is_shown_as_often_as_the_level_says_and_never_with_the_text_asked_about():
    for level in SLICE.levels:
        for item in make_items(SLICE, 64, seed=6, level=level):
            asked, shown = item.messages[-1].content, item.messages[:-1]
            labels = [message.content for message in shown if message.role == "assistant"]
            assert sorted(labels) == sorted(item.gold["options"] * SHOWN[int(level)])
            texts = [message.content.rpartition(": ")[2] for message in shown if message.role == "user"]
            assert asked.rpartition(": ")[2] not in texts


def test_items_are_a_function_of_the_seed():
    assert make_items(SLICE, 100, seed=4) == make_items(SLICE, 100, seed=4) != make_items(SLICE, 100, seed=5)
