"""Answers from given sources: with the right citation, and with the courage to say that the sources do not say.

Sources are numbered statements about invented things. From two sources on, one says the same of another thing; from
four on, one says something else of the same thing. `unanswerable` leaves out the statement that is asked for in half
of its items; the other half are made alike but with that statement, so that always refusing scores one half.
"""

from __future__ import annotations

from random import Random

from bitproof.evaluate.suite.grounded_facts import Fact, domains, draw_value
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["NOT_STATED", "SLICES", "make_grounded", "make_unanswerable"]

LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0)
NOT_STATED = "Not stated in the sources."
CLUSTERS = tuple(f"{domain}/{number}" for domain, (_, kinds) in domains().items() for number in range(len(kinds)))
_CITE = (
    "Answer in a few words from the sources alone, and cite the source that says so by its number in square brackets, "
    "like [1]."
)
_SAY_SO = f'Answer in a few words from the sources alone. If they do not say it, answer "{NOT_STATED}"'


def make_grounded(random: Random, cluster: str, level: float) -> Item:
    """A question that one of `level` sources answers, to be cited, after two worked examples."""
    messages = []
    for n_sources, name in ((1, _other(random, cluster)), (2, _other(random, cluster)), (int(level), cluster)):
        fact, twin, sources = _sources(random, name, n_sources)
        number = sources.index(fact) + 1
        wrong_number = sources.index(twin) + 1 if twin in sources else number
        right = f"{fact.value.shown} [{number}]"
        messages += [_ask(sources, fact, _CITE), Message(role="assistant", content=right)]
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=tuple(messages[:-1]),
        grader="cited",
        gold={**_gold(fact, twin), "source": number, "sources": len(sources)},
        right=right,
        wrong=f"{twin.value.shown} [{wrong_number}]",
        max_tokens=48,
    )


def make_unanswerable(random: Random, cluster: str, level: float) -> Item:
    """A question that `level` sources answer, or do not."""
    answerable, first = random.random() < 0.5, random.random() < 0.5
    messages = []
    # Of the two worked examples one is answered and one is not, in either order.
    shown = ((_other(random, cluster), 2, first), (_other(random, cluster), 2, not first))
    for name, n_sources, answered in (*shown, (cluster, int(level), answerable)):
        fact, twin, sources = _sources(random, name, n_sources, answered=answered)
        right = fact.value.shown if answered else NOT_STATED
        messages += [_ask(sources, fact, _SAY_SO), Message(role="assistant", content=right)]
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=tuple(messages[:-1]),
        grader="abstains",
        gold={**_gold(fact, twin), "answerable": answerable},
        right=right,
        wrong=twin.value.shown if not answerable else NOT_STATED,
        max_tokens=32,
    )


def _sources(random: Random, cluster: str, n: int, *, answered: bool = True) -> tuple[Fact, Fact, list[Fact]]:
    """The fact asked for, its twin (the same of another thing), and the sources in random order.

    The fact is among the sources where they answer; else a third statement stands in its place.
    """
    domain, number = cluster.split("/")
    things, kinds = domains()[domain]
    kind = kinds[int(number)]
    asked, other, *rest = random.sample(things, len(things))
    more = [(thing, each) for thing in (asked, other, *rest) for each in kinds if (thing, each) != (asked, kind)]
    more.remove((other, kind))
    same_thing = (asked, random.choice([each for each in kinds if each is not kind]))
    more.remove(same_thing)
    random.shuffle(more)
    facts: list[Fact] = []
    for thing, each in [(asked, kind), (other, kind), same_thing, *more][: n + 1]:
        given = [fact.value for fact in facts if fact.kind is each]
        facts.append(Fact(thing, each, draw_value(random, each, given)))
    fact, twin = facts[:2]
    sources = facts[:n] if answered else facts[1 : n + 1]
    random.shuffle(sources)
    return fact, twin, sources


def _gold(fact: Fact, twin: Fact) -> dict[str, list[str]]:
    return {"expected": list(fact.value.words), "not": list(twin.value.words)}


def _ask(sources: list[Fact], fact: Fact, instruction: str) -> Message:
    rows = "\n".join(f"[{number}] {source.statement}." for number, source in enumerate(sources, start=1))
    return Message(role="user", content=f"Sources:\n{rows}\n\nQuestion: {fact.question}\n{instruction}")


def _other(random: Random, cluster: str) -> str:
    """A cluster of another domain, for a worked example."""
    domain = cluster.split("/")[0]
    return random.choice([name for name in CLUSTERS if not name.startswith(f"{domain}/")])


SLICES = (
    Slice(
        name="grounded",
        title="Answers from sources, cited",
        what="Give the fact that a source states, and cite that source and no other.",
        clusters=CLUSTERS,
        levels=LEVELS,
        unit="sources",
        make=make_grounded,
        context_tokens=lambda sources: 380 + 32 * sources,
    ),
    Slice(
        name="unanswerable",
        title="What the sources do not say",
        what="Answer where the sources do, and say that they do not where they do not.",
        clusters=CLUSTERS,
        levels=LEVELS[1:],
        unit="sources",
        make=make_unanswerable,
        context_tokens=lambda sources: 380 + 32 * sources,
    ),
)
