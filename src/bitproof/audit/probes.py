"""Short questions whose first tokens say much: everyday subjects in many forms, made from a seed.

A probe costs its prompt and a few tokens, so questions are short; none is about anything that a filter refuses.
"""

from __future__ import annotations

from random import Random

__all__ = ["probe_texts"]

FORMS = (
    "Write one sentence about {a}.",
    "What is {a} used for?",
    "Name three things that go with {a}.",
    "Describe {a} to a child.",
    "Is {a} older than {b}? Why?",
    "Give me a title for a story about {a} and {b}.",
    "Compare {a} with {b} in one sentence.",
    "Continue: The {a} stood beside the {b}, and",
    "Write a short dialogue between {a} and {b}.",
    "What would happen if there were no {a}?",
    "Tell me something surprising about {a}.",
    "How would you draw {a}?",
    "Write a line of a poem on {a}.",
    "Which costs more, {a} or {b}?",
    "What colour do you think of when you hear {a}?",
    "List two reasons to keep {a} near {b}.",
    "Explain in ten words how {a} works.",
    "Make up a proverb with {a} in it.",
    "Where would you look for {a}?",
    "Who was the first to need {a}?",
    "Write a question about {a} for a quiz.",
    "Finish this: Without {a}, nobody",
    "Is {n} times {m} more than {k}?",
    "Give a sentence with the words {a}, {b} and {n}.",
)
THINGS = (
    "a lighthouse", "bread", "a bicycle", "rain", "a compass", "the moon", "a violin", "salt", "a bridge", "honey",
    "a window", "coffee", "a ladder", "snow", "a clock", "paper", "a garden", "wool", "a kettle", "the sea",
    "a map", "glass", "a river", "butter", "a candle", "an orchard", "sand", "a drum", "ink", "a harbour",
    "a library", "rope", "a mirror", "thunder", "a sandwich", "a telescope", "moss", "a train", "an umbrella", "chalk",
    "a whistle", "cement", "a pillow", "fog", "a shovel", "an elevator", "pepper", "a stamp", "a volcano", "a sweater",
    "the desert", "a keyboard", "vinegar", "a tunnel", "an island", "a camel", "copper", "a hammock", "a comet",
)  # fmt: skip


def probe_texts(n: int, *, seed: int) -> list[str]:
    """`n` different questions; the first n of a seed are those of any larger number."""
    random = Random(f"probes {seed}")
    found: dict[str, None] = {}
    while len(found) < n:
        a, b = random.sample(THINGS, 2)
        numbers = {"n": random.randint(12, 97), "m": random.randint(3, 19), "k": random.randint(40, 1500)}
        found.setdefault(random.choice(FORMS).format(a=a, b=b, **numbers))
    return list(found)
