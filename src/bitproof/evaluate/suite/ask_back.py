"""Slice `ask-back`: a request that cannot be answered without asking, and its twin that can.

Two kinds of gaps, 25 scenes each. Two entries of a list share the name that the user gives, so that any answer is a
guess; or a calculation lacks one of its two numbers. The twin names the entry in full, or gives the number. Which of
the two is asked is drawn with equal chances, so that neither always asking nor never asking gets more than half.
Levels are what stands around the gap: further entries, or further facts that do not matter.
Both replies are shown first: at the easiest level on the scene itself, filled otherwise, else on two other scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE"]


@dataclass(frozen=True)
class _Lookup:
    """A list in which two entries share a first word: what it is, the question, and the words that tell them apart."""

    intro: str
    question: str  # of {name}
    shared: tuple[str, ...]
    telling: tuple[str, ...]
    missing: str  # the question back
    after: bool = True  # the telling word comes after the shared one

    def name(self, shared: str, telling: str) -> str:
        return f"{shared} {telling}" if self.after else f"{telling} {shared}"


@dataclass(frozen=True)
class _Calculation:
    """A product of a number that is given and one that may be missing."""

    given: str  # with {a}
    told: str  # with {b}: only the twin says it
    question: str
    missing: str


_PEOPLE = ("Anna", "Peter", "Maria", "David", "Laura", "Tom", "Julia", "Paul")
_SURNAMES = ("Adams", "Brown", "Clark", "Evans", "Foster", "Green", "Hughes", "Jones", "Keller", "Lewis")
_COLOURS = ("red", "blue", "green", "black", "white", "yellow", "grey", "brown")
_CITIES = ("to Oslo", "to Rome", "to Bern", "to Lyon", "to Cork", "to Kiel", "to Graz", "to Bonn")
_SIZES = ("small", "large", "round", "square", "old", "new", "tall", "short")
_DAYS = ("on Monday", "on Tuesday", "on Wednesday", "on Thursday", "on Friday", "on Saturday", "on Sunday")

_NAMED = """
Phone extensions: | What is {name}'s extension? | Whose extension do you mean
Desks in the office: | At which desk does {name} sit? | Whose desk do you mean
Ages of the members: | How old is {name}? | Which member do you mean
Points in the quiz: | How many points does {name} have? | Which player do you mean
Rooms of the hotel guests: | Which room is {name} in? | Which guest do you mean
Lockers at the pool: | What is the number of {name}'s locker? | Whose locker do you mean
Patients and their beds: | In which bed is {name}? | Which patient do you mean
Start numbers of the race: | What is {name}'s start number? | Which runner do you mean
Books borrowed so far: | How many books has {name} borrowed? | Which reader do you mean
Days of leave that are left: | How many days of leave does {name} have? | Which colleague do you mean
"""
_THINGS = """
Prices in euros: | What does the {name} cost? | lamp chair table carpet sofa | colours
Pieces in stock: | How many of the {name} do we have? | shirt cap scarf jacket belt | colours
Weight of the parcels in kilograms: | How heavy is the {name}? | box crate bag parcel case | colours
Positions in the car park: | Where is the {name} parked? | van truck bus taxi car | colours
Shelves in the store: | On which shelf is the {name}? | bowl vase plate jug cup | sizes
Litres that each holds: | How much does the {name} hold? | barrel tank bucket pot bottle | sizes
Height in metres: | How high is the {name}? | tower church bridge mast crane | sizes
Platforms: | From which platform does the {name} leave? | train bus coach tram express | cities
Gates: | At which gate is the {name}? | flight plane jet shuttle charter | cities
Tickets left: | How many tickets are left for the {name}? | concert play match film show | days
Rooms: | In which room is the {name}? | lesson course meeting lecture talk | days
Participants: | How many people come to the {name}? | dinner party picnic walk tour | days
Minutes of driving: | How many minutes does the {name} take? | trip ride drive transfer shuttle | cities
Page of the catalogue: | On which page is the {name}? | clock mirror desk shelf bed | sizes
Number of the key: | Which key opens the {name}? | door gate cupboard garage shed | colours
"""
_SUMS = """
A taxi costs {a} euros a kilometre. | I ride for {b} kilometres. | What does the ride cost? | How long is the ride
One ticket costs {a} euros. | We are {b} people. | What do tickets for all of us cost? | How many are you
A box holds {a} bottles. | I have {b} boxes. | How many bottles do I have? | How many boxes do you have
I read {a} pages a day. | My holiday lasts {b} days. | How many pages do I read on my holiday? | How long is your holiday
One hour of parking costs {a} euros. | I stay for {b} hours. | What do I pay for parking? | How long do you stay
A nurse works {a} hours in each shift. | She had {b} shifts. | How many hours did she work this month? | How many shifts
A metre of cloth costs {a} euros. | I need {b} metres. | What does my cloth cost? | How much do you need
The printer makes {a} pages a minute. | It has run for {b} minutes. | How many pages has it made? | How long has it run
Each row has {a} seats. | The hall has {b} rows. | How many seats are there in the hall? | How many rows does the hall have
A night in the hotel costs {a} euros. | We stay for {b} nights. | What do we pay for the hotel? | How many nights do you stay
My car needs {a} litres an hour. | My drive takes {b} hours. | How many litres does it need for my drive? | How long do you drive
Every child gets {a} sweets. | There are {b} children. | How many sweets do I need? | How many children are there
A tree costs {a} euros. | We plant {b} trees. | What do all our trees cost? | How many trees do you plant
A lesson costs {a} euros. | I take {b} lessons. | What do my lessons cost together? | How many lessons do you take
The baker makes {a} loaves an hour. | He works for {b} hours. | How many loaves does he make in all? | How long does he work
A lorry carries {a} tonnes. | It drives {b} times. | How many tonnes does it move in all? | How often does it drive
A pack has {a} batteries. | I buy {b} packs. | How many batteries are in all my packs? | How many packs do you buy
One window takes me {a} minutes. | I have {b} windows to clean. | How many minutes do all my windows take? | How many windows are there
The choir sings {a} hours a week. | It meets for {b} weeks. | How many hours does it sing in all? | For how many weeks
One tile costs {a} euros. | The floor needs {b} tiles. | What do the tiles for the floor cost? | How many tiles do you need
A cow gives {a} litres a day. | The farmer has {b} cows. | How many litres does the farmer get a day? | How many cows are there
I save {a} euros a month. | I do this for {b} months. | How much do I save in all? | For how many months do you save
A page has {a} lines. | My letter has {b} pages. | How many lines does my letter have? | How many pages does it have
A pump moves {a} litres a minute. | It runs for {b} minutes. | How many litres does it move in all? | How long does it run
A team has {a} players. | There are {b} teams. | How many players take part? | How many teams are there
"""  # noqa: E501 - a row is a line
_ASIDES = (
    "It is raining today.",
    "My sister came along last year.",
    "The shop opens at nine.",
    "We have done this for years.",
    "The colour does not matter.",
    "I pay in cash.",
)
_KINDS = {"colours": _COLOURS, "sizes": _SIZES, "cities": _CITIES, "days": _DAYS}


def _named(row: str) -> _Lookup:
    intro, question, missing = row.split(" | ")
    return _Lookup(intro, question, _PEOPLE, _SURNAMES, missing)


def _thing(row: str) -> _Lookup:
    intro, question, nouns, kind = row.split(" | ")
    return _Lookup(
        intro, question, tuple(nouns.split()), _KINDS[kind], "Which one do you mean", kind in ("cities", "days")
    )


def _calculation(row: str) -> _Calculation:
    given, told, question, missing = row.split(" | ")
    return _Calculation(given, told, question, missing)


_SCENES: dict[str, _Lookup | _Calculation] = {
    **{scene.intro.rstrip(":"): scene for scene in map(_named, _NAMED.strip().splitlines())},
    **{scene.intro.rstrip(":"): scene for scene in map(_thing, _THINGS.strip().splitlines())},
    **{scene.question: scene for scene in map(_calculation, _SUMS.strip().splitlines())},
}
RULE = (
    "Answer with the number only. If something that you need is missing or could mean two things, do not guess: "
    "ask one short question back."
)
ENTRIES = {1.0: 3, 2.0: 6, 3.0: 12}
FACTS = {1.0: 0, 2.0: 2, 3.0: 4}


@dataclass(frozen=True)
class _Asked:
    """A request, what is right and wrong to reply, and what the grader needs."""

    prompt: str
    right: str
    wrong: str
    gold: dict[str, object]


def _make(random: Random, cluster: str, level: float) -> Item:
    scene = _SCENES[cluster]
    asked = _request(random, scene, level, gap=random.random() < 0.5)
    alike: list[_Lookup | _Calculation] = [scene, scene]  # the easiest level shows the scene itself, filled otherwise
    if level > 1:
        alike = [other for other in _SCENES.values() if type(other) is type(scene) and other is not scene]
    gaps = [True, False]
    random.shuffle(gaps)
    shown = [_request(random, other, 1.0, gap) for other, gap in zip(random.sample(alike, 2), gaps, strict=True)]
    examples = [
        message
        for example in shown
        for message in (Message(role="user", content=example.prompt), Message(role="assistant", content=example.right))
    ]
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(*examples, Message(role="user", content=asked.prompt)),
        grader="asks_back",
        gold=asked.gold,
        right=asked.right,
        wrong=asked.wrong,
        max_tokens=32,
    )


def _request(random: Random, scene: _Lookup | _Calculation, level: float, gap: bool) -> _Asked:
    return _look_up(random, scene, level, gap) if isinstance(scene, _Lookup) else _calculate(random, scene, level, gap)


def _look_up(random: Random, scene: _Lookup, level: float, gap: bool) -> _Asked:
    shared, *rest = random.sample(scene.shared, len(scene.shared))
    first, second = random.sample(scene.telling, 2)
    others = [scene.name(random.choice(rest), telling) for telling in random.sample(scene.telling, len(scene.telling))]
    others += [scene.name(one, first) for one in rest]
    names = [scene.name(shared, first), scene.name(shared, second)]
    names += random.sample(list(dict.fromkeys(others)), int(ENTRIES[level]) - 2)
    numbers = random.sample(range(10, 100), len(names))
    lines = [f"- {name}: {number}" for name, number in zip(names, numbers, strict=True)]
    random.shuffle(lines)
    question = scene.question.format(name=shared if gap else names[0])
    prompt = "\n".join([RULE, "", scene.intro, *lines, "", question])
    value, other = str(numbers[0]), str(numbers[1])
    return _asked(prompt, f"{scene.missing}?", value, gap, [value, other] if gap else [other])


def _calculate(random: Random, scene: _Calculation, level: float, gap: bool) -> _Asked:
    a, b = random.randint(3, 9), random.randint(3, 9)
    facts = [scene.given.format(a=a), *([] if gap else [scene.told.format(b=b)])]
    asides = random.sample(_ASIDES, FACTS[level])
    for aside in asides:
        facts.insert(random.randint(0, len(facts)), aside)
    prompt = "\n".join([RULE, "", " ".join([*facts, scene.question])])
    return _asked(prompt, f"{scene.missing}?", str(a * b), gap, [])


def _asked(prompt: str, back: str, value: str, gap: bool, others: list[str]) -> _Asked:
    if gap:
        return _Asked(prompt, back, value, {"expect": "ask", "guesses": others})
    return _Asked(prompt, value, back, {"expect": "answer", "answer": value, "others": others})


SLICE = Slice(
    name="ask-back",
    title="Asking back",
    what="What is ambiguous is asked about, and what is not is answered.",
    clusters=tuple(_SCENES),
    levels=(1.0, 2.0, 3.0),
    unit="how much stands around the gap",
    make=_make,
    context_tokens=lambda level: 340 + 30 * level,
)
