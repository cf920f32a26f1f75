"""Rare vocabulary: strings that a tokenizer splits into rare pieces, kept character for character.

What quantization damages first is what training saw least: rare tokens carry small weights and few examples. Every
answer stands in the prompt, so nothing has to be known; level is the number of units (words, or groups of four
characters) that the answer has.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0)

_WORDS = (
    "syzygy", "borborygmus", "quixotry", "zeugma", "absquatulate", "cwtch", "sesquipedalian", "crwth", "mumpsimus",
    "widdershins", "ultracrepidarian", "gongoozler", "xertz", "callipygian", "tatterdemalion", "nudiustertian",
    "phlogiston", "smaragdine", "velleity", "kakistocracy", "omphaloskepsis", "jentacular", "agelast", "zyzzyva",
    "defenestrate", "pulchritudinous", "fipple", "ratoon", "eyot", "petrichor", "susurrus", "vellichor", "skirl",
    "brobdingnagian", "flibbertigibbet", "limerence", "psithurism", "quomodocunquize", "thalassic", "yclept",
)  # fmt: skip
_CHEMICALS = (
    "acetylsalicylic", "benzodiazepine", "chloroquine", "dihydroxyacetone", "ethylenediamine", "fluoxetine", "guaiacol",
    "hydroxyurea", "isoprenaline", "ketorolac", "levothyroxine", "methotrexate", "naphthalene", "oxaliplatin",
    "phenylephrine", "quinacrine", "ranitidine", "sulfasalazine", "tetracycline", "ursodiol", "vinblastine", "xylitol",
)  # fmt: skip
_ACCENTED = (
    "Ångström", "brouhaha", "çedilla", "Dvořák", "Eyjafjallajökull", "façade", "Győr", "Háček", "İzmir", "jalapeño",
    "Kraków", "Łódź", "maçã", "naïveté", "Œuvre", "Plzeň", "Quảng", "Reykjavík", "Şırnak", "Țară", "Überfluß", "voilà",
    "Wałbrzych", "Žižkov", "Århus", "smörgåsbord", "São", "crème", "brûlée", "Þórshöfn",
)  # fmt: skip
_SYLLABLES = (
    "bra", "cthu", "dvo", "ezh", "fjo", "gwy", "hrae", "iku", "jor", "kva", "lleu", "mbe", "nkru", "oyo", "pwy", "qasi",
    "rhi", "sva", "tsu", "uxu", "vla", "wyn", "xho", "yrs", "zbi",
)  # fmt: skip
_OTHER_SCRIPTS = (
    "συζυγία", "ξίφος", "щавель", "объезд", "съёмка", "קיפוד", "صقر", "भौतिकी", "ไก่ฟ้า", "მდინარე", "սարդոստայն",
    "蜃気楼", "麒麟", "고슴도치", "ቡና", "ʒiʁaf", "φλέβα", "цыплёнок", "זרזיר", "فراشة", "ज्यामिति", "ციყვი",
)  # fmt: skip
_SYMBOLS = "∀∂∃∅∇∈∑√∞∠∧∨∩∪∫≈≠≤≥⊂⊕⊥⌈⌊◊★☂♞♫⚓✂✈❄➔⟨⟩⨯ΔΘΛΞΨΩ§¶†‡µ¤¥€"
_EMOJI = "🦀🪁🧭🛶🪐🦉🎻🧵🥁🪴🦋🌵🍋🧊🔭🪙🧩🚲🦔🎈🪶🐚🌋🧨"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _letters(alphabet: str, join: str, size: int = 4) -> Callable[[Random, int], str]:
    """Groups of `size` characters of an alphabet."""
    return lambda random, units: join.join("".join(random.choices(alphabet, k=size)) for _ in range(units))


def _words(words: tuple[str, ...], join: str = " ") -> Callable[[Random, int], str]:
    return lambda random, units: join.join(random.sample(words, units))


def _names(random: Random, units: int) -> str:
    return " ".join("".join(random.sample(_SYLLABLES, 2)).capitalize() for _ in range(units))


def _identifier(random: Random, units: int) -> str:
    return "".join(word.capitalize() for word in random.sample(_WORDS, units))


def _mixed(random: Random, units: int) -> str:
    pools = (_WORDS, _CHEMICALS, _ACCENTED, _OTHER_SCRIPTS)
    return " ".join(random.choice(random.choice(pools)) for _ in range(units))


# What the strings are made of, and what they are called in the prompt.
MATERIALS: dict[str, tuple[str, Callable[[Random, int], str]]] = {
    "rare-words": ("phrase", _words(_WORDS)),
    "chemistry": ("label", _words(_CHEMICALS, "-")),
    "accents": ("title", _words(_ACCENTED)),
    "names": ("name", _names),
    "scripts": ("inscription", _words(_OTHER_SCRIPTS)),
    "mixed": ("motto", _mixed),
    "identifier": ("identifier", _identifier),
    "hex": ("checksum", _letters("0123456789abcdef", "")),
    "uuid": ("identifier", _letters("0123456789abcdef", "-")),
    "base58": ("key", _letters(_BASE58, "")),
    "digits": ("serial number", _letters("0123456789", " ")),
    "symbols": ("formula", _letters(_SYMBOLS, " ", 3)),
    "emoji": ("signal", _letters(_EMOJI, " ", 2)),
    "ipv6": ("address", _letters("0123456789abcdef", ":")),
}
# What the most fragmenting tokenizers need; one of digits or hex takes at most one token a character, and a join.
TOKENS_PER_UNIT = {"scripts": 24, "mixed": 20, "accents": 12, "symbols": 11, "emoji": 12}
TASKS = ("copy", "labelled", "after", "complete")
CLUSTERS = tuple(f"{task}/{material}" for task in TASKS for material in MATERIALS)


def make(random: Random, cluster: str, level: float) -> Item:
    """An item whose answer has `level` units of the cluster's material, and stands in the prompt.

    Two worked examples with short strings stand before it, as turns of the conversation.
    """
    task, material = cluster.split("/")
    noun, draw = MATERIALS[material]
    question = {"copy": _copy, "labelled": _labelled, "after": _after, "complete": _complete}[task]
    messages = []
    for units in (1, min(2, int(level)), int(level)):
        strings = _different(random, draw, units, 4)
        messages += [
            Message(role="user", content=question(random, noun, strings)),
            Message(role="assistant", content=strings[0]),
        ]
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=tuple(messages[:-1]),
        grader="exact",
        gold={"accept": [strings[0]]},
        right=strings[0],
        wrong=strings[1],
        max_tokens=8 + int(level) * TOKENS_PER_UNIT.get(material, 8),
    )


def _different(random: Random, draw: Callable[[Random, int], str], units: int, n: int) -> list[str]:
    """`n` different strings."""
    found: dict[str, None] = {}
    while len(found) < n:
        found[draw(random, units)] = None
    return list(found)


def _copy(random: Random, noun: str, strings: list[str]) -> str:
    return f"Repeat this {noun} exactly, character for character:\n{strings[0]}"


def _labelled(random: Random, noun: str, strings: list[str]) -> str:
    places = random.sample(("north", "south", "east", "west"), 4)
    rows = [f"{place}: {string}" for place, string in zip(places, strings, strict=True)]
    random.shuffle(rows)
    table = "\n".join(rows)
    return f"{table}\n\nWhat is the {noun} of {places[0]}? Write it exactly and nothing else."


def _after(random: Random, noun: str, strings: list[str]) -> str:
    before = random.randrange(1, 4)  # which of the other strings stands right before the answer
    others = [string for number, string in enumerate(strings) if number not in (0, before)]
    at = random.randint(0, len(others))
    lines = "\n".join([*others[:at], strings[before], strings[0], *others[at:]])
    return f"{lines}\n\nWhich {noun} stands on the line after {strings[before]}? Write it exactly and nothing else."


def _complete(random: Random, noun: str, strings: list[str]) -> str:
    order = strings[1:3]
    order.insert(random.randint(0, 2), strings[0])
    lines = "\n".join([*order, *order, *order[: order.index(strings[0])]])
    return f"{lines}\n\nThe three lines repeat in this order. Write the next {noun} exactly and nothing else."


SLICE = Slice(
    name="rare-vocabulary",
    title="Rare vocabulary",
    what="Write a rare string that stands in the prompt, character for character.",
    clusters=CLUSTERS,
    levels=LEVELS,
    unit="units of the string",
    make=make,
    context_tokens=lambda units: 420 + 80 * units,
)
