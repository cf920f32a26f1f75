"""State kept over turns: something is told, changed turn by turn, and asked for at the end.

Five kinds of state (a number, a list, values of several holders, a queue, things that change places) in nine settings
each, and five more that mix a number with a list. Level is the number of turns, the question included; every turn
before it but the first is one change. The model's own answers stand between, as they do in use.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE", "make", "settings"]

Setting = dict[str, Any]
Told = tuple[list[str], str, list[str], list[str]]  # turns, question, what is expected, what is wrong (plausible first)

RULE = "I will tell you something in several steps. Answer each step with OK only, until I ask a question."
NEXT = "Now forget that; here is something new. Again, answer OK until I ask."
_NAMES = ("Amara", "Bjorn", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jamal", "Katya", "Lucas")


@cache
def settings() -> dict[str, dict[str, Setting]]:
    """Kind of state -> name of the setting -> its wording."""
    tables = tomllib.loads((files("bitproof") / "data" / "turns.toml").read_text("utf-8"))
    return {kind: {row["name"]: row for row in rows} for kind, rows in tables.items()}


def _quantity(random: Random, setting: Setting, changes: int) -> Told:
    number = random.randint(12, 20)
    turns = [setting["start"].format(n=number)]
    states = [number]
    for _ in range(changes):
        step = random.choice([-1, 1]) * random.randint(2, 9)
        step = step if 2 <= states[-1] + step <= 40 else -step
        turns.append(setting["up" if step > 0 else "down"].format(n=abs(step)))
        states.append(states[-1] + step)
    before = [str(state) for state in reversed(states[:-1]) if state != states[-1]]
    wrong = before[:1] or [str(states[-1] + 3)]
    return turns, setting["question"] + " Answer with the number only.", [str(states[-1])], wrong


def _members(random: Random, setting: Setting, changes: int) -> Told:
    pool = random.sample(setting["things"], len(setting["things"]))
    present, fresh = pool[:3], pool[3:]
    gone: list[str] = []
    turns = [setting["start"].format(list=_enumerated(present))]
    for number in range(changes):
        if (number % 2 == 0 or random.random() < 0.4) and len(present) > 2:
            thing = random.choice(present)
            present.remove(thing)
            gone.append(thing)
            turns.append(_sentence(setting["remove"].format(x=_known(thing))))
        else:
            present.append(fresh.pop())
            turns.append(_sentence(setting["add"].format(x=present[-1])))
    words, wrong = ([_noun(thing) for thing in things] for things in (present, [*reversed(gone), fresh.pop()]))
    return turns, setting["question"] + " Answer with the list only.", words, wrong


def _values(random: Random, setting: Setting, changes: int) -> Told:
    holders, values = setting["holders"], random.sample(setting["values"], len(setting["values"]))
    state = dict(zip(holders, values, strict=False))
    spare = values[len(holders) :]
    turns = [" ".join(_sentence(setting["start"].format(h=holder, v=state[holder])) for holder in holders)]
    asked = random.choice(holders)
    earlier: list[str] = []
    for number in range(changes):
        holder = asked if number == 0 or random.random() < 0.4 else random.choice(holders)
        earlier += [state[holder]] if holder == asked else []
        spare.append(state[holder])
        state[holder] = spare.pop(0)
        turns.append(_sentence(setting["change"].format(h=holder, v=state[holder])))
    others = [value for value in setting["values"] if value != state[asked]]
    wrong = [*(value for value in reversed(earlier) if value != state[asked]), *others]
    named = asked[0].lower() + asked[1:] if asked.startswith("The ") else asked
    return turns, setting["question"].format(h=named) + " Answer with one word or number only.", [state[asked]], wrong


def _queue(random: Random, setting: Setting, changes: int) -> Told:
    names = random.sample(_NAMES, len(_NAMES))
    line, fresh = names[:4], names[4:]
    turns = [setting["start"].format(list=_enumerated(line))]
    for number in range(changes):
        if (number % 2 == 0 or random.random() < 0.3) and len(line) > 2:
            line.pop(0)
            turns.append(setting["leave"])
        else:
            line.append(fresh.pop())
            turns.append(setting["join"].format(x=line[-1]))
    wrong = [names[0], *line[1:], *names[1:4]]
    return (
        turns,
        setting["question"] + " Answer with the name only.",
        [line[0]],
        [name for name in wrong if name != line[0]],
    )


def _swap(random: Random, setting: Setting, changes: int) -> Told:
    holders, values = setting["holders"], random.sample(setting["values"], 3)
    state, first = dict(zip(holders, values, strict=True)), dict(zip(holders, values, strict=True))
    turns = [_sentence(setting["start"].format(a=values[0], b=values[1], c=values[2]))]
    pair: list[str] = []
    for _ in range(changes):
        last, pair = pair, random.sample(holders, 2)
        while set(pair) == set(last):  # the same swap again would undo itself
            pair = random.sample(holders, 2)
        state[pair[0]], state[pair[1]] = state[pair[1]], state[pair[0]]
        turns.append(_sentence(setting["swap"].format(x=pair[0], y=pair[1])))
    asked = next((holder for holder in random.sample(holders, 3) if state[holder] != first[holder]), holders[0])
    wrong = [first[asked], *(value for value in values if value != first[asked])]
    question = setting["question"].format(x=asked) + " Answer with one word."
    return turns, question, [state[asked]], [value for value in wrong if value != state[asked]]


KINDS: dict[str, Callable[[Random, Setting, int], Told]] = {
    "quantity": _quantity,
    "members": _members,
    "values": _values,
    "queue": _queue,
    "swap": _swap,
}
# Two things at once: changes of both alternate, and only one of them is asked for.
MIXED = (("bus", "shopping"), ("money", "guests"), ("sheep", "suitcase"), ("points", "band"), ("tank", "garden"))
CLUSTERS = (
    *(f"{kind}/{name}" for kind, rows in settings().items() for name in rows),
    *(f"mixed/{number}-{members}" for number, members in MIXED),
)


def make(random: Random, cluster: str, level: float) -> Item:
    """A conversation of `level` turns, the last of which asks, after one of three turns that shows how it goes.

    The example is of the same kind in another setting.
    """
    kind = cluster.split("/")[0]
    other = random.choice([each for each in CLUSTERS if each.startswith(f"{kind}/") and each != cluster])
    shown, asked, answer, _ = _told(random, other, 1)
    turns, question, expected, wrong = _told(random, cluster, int(level) - 2)
    messages = [Message(role="user", content=f"{RULE}\n\n{shown[0]}")]
    for turn in (*shown[1:], asked):
        messages += [Message(role="assistant", content="OK"), Message(role="user", content=turn)]
    messages += [
        Message(role="assistant", content=", ".join(answer)),
        Message(role="user", content=f"{NEXT}\n\n{turns[0]}"),
    ]
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=tuple(messages),
        follow_ups=(*turns[1:], question),
        grader="contains",
        gold={"expected": expected, "not": wrong},
        right=", ".join(expected),
        wrong=", ".join([*expected[:-1], wrong[0]]),
        max_tokens=32,
    )


def _told(random: Random, cluster: str, changes: int) -> Told:
    """What is told and asked in a cluster."""
    kind, name = cluster.split("/")
    return _mixed(random, name, changes) if kind == "mixed" else KINDS[kind](random, settings()[kind][name], changes)


def _mixed(random: Random, name: str, changes: int) -> Told:
    """A number and a list, told together and changed in turn; the number is asked for."""
    number, members = name.split("-")
    turns, question, expected, wrong = _quantity(random, settings()["quantity"][number], (changes + 1) // 2)
    others = _members(random, settings()["members"][members], changes // 2)[0]
    told = [f"{turns[0]} {others[0]}"]
    for turn in range(changes):
        told.append((turns if turn % 2 == 0 else others)[turn // 2 + 1])
    return told, question, expected, wrong


def _enumerated(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _known(thing: str) -> str:
    """A thing that was named before: "a towel" -> "the towel"."""
    first, _, rest = thing.partition(" ")
    return f"the {rest}" if first == "a" else f"the {thing}" if rest else thing


def _noun(thing: str) -> str:
    """The word of a thing that an answer must hold: "two books" -> "books"."""
    return thing.split()[-1]


SLICE = Slice(
    name="multi-turn",
    title="State over several turns",
    what="Give the state of something after changes told turn by turn.",
    clusters=CLUSTERS,
    levels=(2.0, 3.0, 4.0, 5.0, 6.0),
    unit="turns",
    make=make,
    context_tokens=lambda turns: 240 + 56 * turns,
)
