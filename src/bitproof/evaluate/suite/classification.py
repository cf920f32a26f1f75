"""Classification: which of the listed labels a short text has.

Eight tasks (intent, topic, emotion, kind of mail, urgency, language, trade, subject of a review) of eight labels; a
cluster is one label of one task, and the texts asked about in it stand in no other. Levels:

1. three options, a text that says it plainly, after two labelled texts of each option;
2. four options, plain, after one of each;
3. eight options, plain, after one of each;
4. eight options, after one of each, a text from which the label has to be concluded;
5. as 4, between a sentence that says nothing and one that mentions another label, and after no text of its task.
"""

from __future__ import annotations

from random import Random

from bitproof.evaluate.suite.classification_texts import TASKS, Task, Texts
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE"]

NAMES = ("Alma", "Boris", "Carla", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Irma", "Jorge", "Kemal", "Ludmila")
PLACES = ("Ashford", "Brenna", "Castelo", "Dunmore", "Elmsee", "Fairhaven", "Gravel Bay", "Holm", "Isola", "Jarvik")
THINGS = ("lamp", "kettle", "bicycle", "drill", "armchair", "camera", "toaster", "radio", "tent", "vacuum cleaner")
OPTIONS = {1: 3, 2: 4, 3: 8, 4: 8, 5: 8}
SHOWN = {1: 2, 2: 1, 3: 1, 4: 1, 5: 0}  # labelled texts of each option


def _make(random: Random, cluster: str, level: float) -> Item:
    name, _, label = cluster.partition("/")
    task = TASKS[name]
    others = [other for other in task.labels if other != label]
    options = [label, *random.sample(others, OPTIONS[int(level)] - 1)]
    random.shuffle(options)
    wrong = random.choice([option for option in options if option != label])
    which = random.choice((2, 3) if level > 3 else (0, 1))
    text = task.labels[label][which]
    if level == 5:
        text = f"{random.choice(task.opening)} {text} {task.aside}"
    shown = [(told, each) for each in options for told in _shown(task.labels[each], which, int(level))]
    random.shuffle(shown)
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=_conversation(random, task, options, [*shown, (text, "")], wrong),
        grader="choice",
        gold={"label": label, "options": options},
        right=label,
        wrong=wrong,
        max_tokens=16,
    )


def _shown(texts: Texts, which: int, level: int) -> tuple[str, ...]:
    """Texts of a label other than number `which`, the most telling ones first."""
    return tuple(text for number, text in enumerate(texts) if number != which)[: SHOWN[level]]


def _conversation(
    random: Random, task: Task, options: list[str], asked: list[tuple[str, str]], aside: str
) -> tuple[Message, ...]:
    """Each text and its label in turn, the question before the first."""
    ask = f"{task.question} Answer with one of: {', '.join(options)}."
    messages: list[Message] = []
    for number, (told, label) in enumerate(asked):
        text = f"{task.what}: " + told.format(
            name=random.choice(NAMES),
            place=random.choice(PLACES),
            thing=random.choice(THINGS),
            n=random.randint(100, 999),
            aside=aside,
        )
        text = f"{ask}\n\n{text}" if number == 0 else text
        messages += [Message(role="user", content=text), Message(role="assistant", content=label)]
    return tuple(messages[:-1])


SLICE = Slice(
    name="classification",
    title="Classification",
    what="the one label, of those listed, that a text has",
    clusters=tuple(f"{name}/{label}" for name, task in TASKS.items() for label in task.labels),
    levels=(1, 2, 3, 4, 5),
    unit="step (options, subtlety, then examples)",
    make=_make,
    context_tokens=lambda level: 160 + 40 * OPTIONS[int(level)] * SHOWN[int(level)],
)
