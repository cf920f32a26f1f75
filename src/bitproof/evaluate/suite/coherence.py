"""Long-form coherence: an essay, and then a summary of it, watched for loops, drift and what the summary makes up.

Level is the number of words asked for: 1,000 is what the long runs use; 100 and 300 let a small model and a short
profile show the same failures earlier.
"""

from __future__ import annotations

from random import Random

from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE", "TOPICS", "make"]

# Topic: words that an essay about it uses.
TOPICS = {
    topic: tuple(words.split())
    for topic, words in {
        "how bees live and why they matter": "bees hive honey flowers pollination queen",
        "the history of the bicycle": "bicycle wheels pedals riders invention road",
        "why people keep gardens": "garden plants soil flowers vegetables seasons",
        "how bread is made": "bread flour yeast dough oven bake",
        "the life of a river from spring to sea": "river water stream valley sea source",
        "why cities need trees": "trees city shade air streets parks",
        "how a lighthouse works": "lighthouse light ships sea coast keeper",
        "what makes a good teacher": "teacher students learn lesson patience knowledge",
        "the night sky and its stars": "stars sky night planets moon telescope",
        "how volcanoes form": "volcano lava magma eruption earth rock",
        "the use of libraries today": "library books readers knowledge learning community",
        "how clocks measured time through history": "clock time hours pendulum sundial measure",
        "why we sleep": "sleep brain rest body night dreams",
        "the story of chocolate": "chocolate cocoa beans sugar sweet taste",
        "how rain comes about": "rain clouds water vapor air drops",
        "the work of a doctor in a small village": "doctor patients village health medicine illness",
        "why music moves people": "music song rhythm melody emotion listen",
        "how bridges carry their load": "bridge weight load steel arch cables",
        "the life of wolves": "wolves pack prey forest hunt pups",
        "what friendship means": "friendship friend trust share support loyalty",
        "how paper is made": "paper wood fibers pulp water trees",
        "why languages change": "language words speakers change grammar time",
        "the history of the post": "letters mail post delivery stamps messages",
        "how glass is made": "glass sand heat furnace melt window",
        "the meaning of money": "money trade value coins goods bank",
        "how vaccines protect": "vaccine immune body disease virus protection",
        "life in the desert": "desert water heat sand animals plants",
        "why the sea has tides": "tides moon sea water gravity earth",
        "the art of cooking soup": "soup vegetables broth pot flavor cook",
        "how trains changed travel": "train railway travel steam tracks passengers",
        "why museums exist": "museum objects art history visitors collection",
        "how birds migrate": "birds migration fly winter journey south",
        "the craft of a carpenter": "wood carpenter tools furniture build saw",
        "how a law is made": "law parliament vote bill government debate",
        "what coral reefs are": "coral reef fish ocean water species",
        "the discovery of electricity": "electricity current battery light invention experiment",
        "why we tell stories": "stories people tell listen imagination culture",
        "how cheese is made": "cheese milk curd whey aging taste",
        "the lives of elephants": "elephants herd trunk calves family water",
        "how maps are drawn": "maps land distance scale roads explorers",
        "what a market is for": "market sellers buyers price goods stalls",
        "how computers store information": "computer memory data bits storage disk",
        "why sports bring people together": "sport team players game fans competition",
        "the seasons of the year": "spring summer autumn winter weather leaves",
        "how mountains are formed": "mountains plates rock earth erosion peaks",
        "the work of a journalist": "journalist news report facts sources readers",
        "how coffee reaches the cup": "coffee beans roast harvest water cup",
        "why honesty matters": "honesty truth trust people lies respect",
        "how ships stay afloat": "ship water float weight hull density",
        "the first flight of an airplane": "airplane flight wings engine pilot wind",
        "what archaeologists do": "archaeologists dig past objects ancient ruins",
        "how children learn to speak": "children words speak parents sounds language",
    }.items()
}


def make(random: Random, cluster: str, level: float) -> Item:
    """An essay of `level` words about the cluster's topic, then a summary in two sentences."""
    words = TOPICS[cluster]
    style = random.choice(("an essay", "an article", "a text for a school magazine", "an essay for curious readers"))
    first, second = random.sample(words[1:], 2)
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(
            Message(
                role="user",
                content=f"Write {style} of about {level:g} words about this topic: {cluster}. "
                f"Say something about {first} and about {second}. Plain paragraphs, no headings, no lists.",
            ),
        ),
        grader="long_text",
        gold={"words": level, "terms": list(words)},
        follow_ups=("Now summarize what you have just written in two sentences.",),
        max_tokens=60 + round(1.6 * level),
    )


SLICE = Slice(
    name="coherence",
    title="Long-form coherence",
    what="Write a long text that stays on its topic without looping, and summarize it.",
    clusters=tuple(TOPICS),
    levels=(100.0, 300.0, 1000.0),
    unit="words",
    make=make,
    context_tokens=lambda words: 260 + 3.2 * words,
)
