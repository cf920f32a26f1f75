"""The wording of arithmetic problems: each story has words of its own for each operation.

In every sentence {who} is who or what holds the quantity and {n} the number; a percentage is written "{n}%".
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SERIES", "SHOPS", "STORIES", "Series", "Shop", "Story"]


@dataclass(frozen=True)
class Story:
    """A quantity that changes step by step: "{who} has {n} {things}", then these sentences."""

    name: str
    things: str
    holders: tuple[str, ...]
    plus: str
    minus: str
    times: str
    share: str
    more: str
    less: str


@dataclass(frozen=True)
class Series:
    """A quantity in successive periods; {cmp} is a comparison such as "30% more than", {count} a span of periods."""

    name: str
    unit: str
    much: str  # "much" or "many"
    periods: tuple[str, ...]
    first: str
    then: str
    ask: str


@dataclass(frozen=True)
class Shop:
    """A bill: goods with their lowest price in dollars, and sentences for what happens to the sum."""

    name: str
    goods: tuple[tuple[str, int], ...]
    buy: str  # {n} {goods} at {price}
    fee: str
    voucher: str
    discount: str
    split: str


PEOPLE = ("Anna", "Ben", "Chloe", "David", "Emeka", "Fatima", "Goran", "Hana", "Ines", "Jamal", "Kofi", "Lena", "Mei")

STORIES = (
    Story(
        "marbles",
        "marbles",
        PEOPLE,
        "{who} finds {n} more under the sofa.",
        "{who} loses {n} in the grass.",
        "By swapping with a collector, {who} ends up with {n} times as many.",
        "{who} sorts them into {n} equal bags and keeps only one of the bags.",
        "As a prize, {who} receives {n}% more.",
        "{who} gives {n}% of them to a cousin.",
    ),
    Story(
        "warehouse",
        "boxes",
        ("the north warehouse", "the harbour warehouse", "the old depot", "the airport depot"),
        "A truck delivers {n} boxes to {who}.",
        "A customer collects {n} boxes from {who}.",
        "Before the holidays the stock of {who} is raised to {n} times that.",
        "The boxes are spread evenly over {n} sites, of which {who} is one.",
        "The stock of {who} then grows by {n}%.",
        "The stock of {who} then shrinks by {n}%.",
    ),
    Story(
        "lake",
        "fish",
        ("the upper lake", "the lower lake", "the castle pond", "the village pond"),
        "Wardens put {n} young fish into {who}.",
        "Herons eat {n} fish of {who}.",
        "After a good spring {who} holds {n} times as many.",
        "The fish are divided equally among {n} waters, and {who} keeps one part.",
        "Over the summer the number in {who} rises by {n}%.",
        "In a cold winter {who} loses {n}% of its fish.",
    ),
    Story(
        "library",
        "books",
        ("the school library", "the town library", "the branch library", "the mobile library"),
        "A publisher donates {n} books to {who}.",
        "{who} throws out {n} damaged books.",
        "After a merger {who} owns {n} times as many.",
        "The books go in equal parts to {n} buildings, and one of them is {who}.",
        "With a grant {who} buys {n}% more.",
        "Water ruins {n}% of the books in {who}.",
    ),
    Story(
        "train",
        "passengers",
        ("the morning train", "the express", "the night train", "the coastal train"),
        "At a station {n} people board {who}.",
        "At a stop {n} people leave {who}.",
        "At the main station the number aboard {who} becomes {n} times as large.",
        "The passengers are spread evenly over {n} trains, and {who} takes one share.",
        "At the border the number of passengers on {who} goes up by {n}%.",
        "At the airport {n}% of the passengers of {who} get off.",
    ),
    Story(
        "account",
        "dollars",
        tuple(f"{name}'s account" for name in PEOPLE),
        "A refund of {n} dollars is paid into {who}.",
        "A bill of {n} dollars is taken from {who}.",
        "An inheritance brings {who} to {n} times its balance.",
        "The balance is split equally among {n} relatives, and one share stays in {who}.",
        "Interest adds {n}% to {who}.",
        "Fees take {n}% from {who}.",
    ),
    Story(
        "computer",
        "photos",
        tuple(f"{name}'s computer" for name in PEOPLE),
        "A camera copies {n} photos onto {who}.",
        "A cleaning program deletes {n} photos from {who}.",
        "An import makes it {n} times as many on {who}.",
        "The photos are moved in equal parts to {n} disks, and only one disk stays in {who}.",
        "A backup restores another {n}% to {who}.",
        "A virus destroys {n}% of the photos on {who}.",
    ),
    Story(
        "tank",
        "litres",
        ("the rain tank", "the fire tank", "the garden tank", "the cellar tank"),
        "A pump fills {n} litres into {who}.",
        "A leak drains {n} litres from {who}.",
        "During a storm the content of {who} becomes {n} times as much.",
        "The content is shared equally among {n} tanks, including {who}.",
        "By the evening {who} holds {n}% more.",
        "In the heat {n}% of the content of {who} evaporates.",
    ),
    Story(
        "game",
        "points",
        PEOPLE,
        "A bonus gives {who} {n} points.",
        "A foul costs {who} {n} points.",
        "A joker multiplies the score of {who} by {n}.",
        "An unlucky card divides the score of {who} by {n}.",
        "A streak lifts the score of {who} by {n}%.",
        "A penalty cuts the score of {who} by {n}%.",
    ),
    Story(
        "beehive",
        "bees",
        ("the white hive", "the wooden hive", "the hive by the fence", "the roof hive"),
        "A swarm of {n} bees joins {who}.",
        "Wasps kill {n} bees of {who}.",
        "By June {who} is {n} times as large.",
        "The keeper divides the bees equally among {n} hives, one of which is {who}.",
        "In a warm week {who} gains {n}%.",
        "A disease removes {n}% of the bees in {who}.",
    ),
    Story(
        "club",
        "members",
        ("the chess club", "the rowing club", "the choir", "the film club"),
        "In spring {n} people sign up for {who}.",
        "In autumn {n} people quit {who}.",
        "After a television report {who} is {n} times its size.",
        "A reform breaks the members into {n} equally large groups, and {who} remains one of these.",
        "A campaign enlarges {who} by {n}%.",
        "After a quarrel {n}% of the members walk out of {who}.",
    ),
    Story(
        "bakery",
        "rolls",
        tuple(f"{name}'s bakery" for name in PEOPLE),
        "The oven yields {n} fresh rolls for {who}.",
        "A hotel picks up {n} rolls from {who}.",
        "The night shift brings {who} to {n} times as many.",
        "They are packed equally into {n} vans, and one van stays at {who}.",
        "Another batch increases the rolls of {who} by {n}%.",
        "The staff of {who} eat {n}% of the rolls.",
    ),
)

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "the second Monday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August")
_YEARS = tuple(str(year) for year in range(2011, 2019))


def _numbered(word: str) -> tuple[str, ...]:
    return tuple(f"{word} {n}" for n in range(1, 9))


SERIES = (
    Series(
        "revenue",
        "dollars",
        "much",
        _DAYS,
        "A shop took in {n} dollars on {period}.",
        "On {period} it took in {cmp} on {before}.",
        "What was the revenue of {count}, in dollars?",
    ),
    Series(
        "museum",
        "visitors",
        "many",
        _MONTHS,
        "In {period}, {n} visitors came to a museum.",
        "{period} brought {cmp} {before}.",
        "How many visitors came in {count}?",
    ),
    Series(
        "tour",
        "kilometres",
        "much",
        _numbered("stage"),
        "A cyclist rode {n} kilometres on {period}.",
        "The distance of {period} was {cmp} the distance of {before}.",
        "What is the distance of {count}, in kilometres?",
    ),
    Series(
        "harvest",
        "kilograms",
        "much",
        _YEARS,
        "In {period} an orchard yielded {n} kilograms of pears.",
        "The harvest of {period} was {cmp} that of {before}.",
        "How many kilograms were harvested in {count}?",
    ),
    Series(
        "typist",
        "words",
        "many",
        _numbered("hour"),
        "A translator wrote {n} words in {period}.",
        "Output in {period} was {cmp} in {before}.",
        "How many words were written in {count}?",
    ),
    Series(
        "power",
        "kilowatt hours",
        "much",
        _numbered("week"),
        "A house used {n} kilowatt hours in {period}.",
        "Its use in {period} came to {cmp} in {before}.",
        "How many kilowatt hours did {count} need?",
    ),
    Series(
        "tower",
        "lamps",
        "many",
        _numbered("floor"),
        "There are {n} lamps on {period} of an office tower.",
        "On {period} there are {cmp} on {before}.",
        "How many lamps are there on {count}?",
    ),
    Series(
        "builders",
        "bricks",
        "many",
        _numbered("team"),
        "On a building site, {period} laid {n} bricks.",
        "Of bricks, {period} laid {cmp} {before}.",
        "How many bricks did {count} lay?",
    ),
)

SHOPS = (
    Shop(
        "stationery",
        (("notebooks", 3), ("pens", 1), ("folders", 2), ("markers", 2)),
        "A teacher buys {n} {goods} at ${price} each.",
        "Engraving adds ${n} to the bill.",
        "A gift card covers ${n}.",
        "The shop takes {n}% off the bill so far.",
        "The rest is paid in equal parts by {n} classes; find the part of one class.",
    ),
    Shop(
        "restaurant",
        (("soups", 6), ("pizzas", 11), ("salads", 8), ("cakes", 5)),
        "A group orders {n} {goods} for ${price} apiece.",
        "The group leaves a tip of ${n}.",
        "A voucher lowers what they owe by ${n}.",
        "As regulars they get {n}% off the sum so far.",
        "They divide the amount evenly among {n} guests; find what one guest pays.",
    ),
    Shop(
        "hardware",
        (("hinges", 2), ("planks", 9), ("brushes", 4), ("locks", 14)),
        "A carpenter takes {n} {goods}, each priced ${price}.",
        "Delivery costs another ${n}.",
        "Returned goods are credited with ${n}.",
        "A trade card reduces the sum so far by {n}%.",
        "The sum is paid in {n} equal instalments; find one instalment.",
    ),
    Shop(
        "cinema",
        (("adult tickets", 9), ("child tickets", 5), ("drinks", 3), ("popcorn buckets", 6)),
        "For an outing, {n} {goods} are booked at a price of ${price} per piece.",
        "The booking site charges a fee of ${n}.",
        "The youth fund contributes ${n} to the cost.",
        "As it is a Tuesday, {n}% is taken off the sum so far.",
        "The cost is split equally by {n} families; find the cost for one family.",
    ),
    Shop(
        "nursery",
        (("roses", 7), ("tulips", 1), ("shrubs", 16), ("pots", 4)),
        "A gardener picks {n} {goods} that cost ${price} each.",
        "Planting them costs ${n} extra.",
        "A loyalty bonus is worth ${n} off.",
        "The end-of-season sale brings the total so far down by {n}%.",
        "The total is shared fairly between {n} neighbours; find the share of one.",
    ),
    Shop(
        "hotel",
        (("single rooms", 60), ("double rooms", 90), ("breakfasts", 12), ("parking permits", 15)),
        "A company reserves {n} {goods}, ${price} for each.",
        "City tax amounts to ${n} on top.",
        "A deposit of ${n} has been paid already and is subtracted.",
        "For a long stay the hotel grants a discount of {n}% on the sum so far.",
        "What remains is charged to {n} departments equally; find the charge of one.",
    ),
    Shop(
        "market",
        (("melons", 3), ("cheeses", 8), ("breads", 4), ("jars of honey", 7)),
        "At a stall {n} {goods} change hands at ${price} each.",
        "Wrapping is billed with ${n}.",
        "The seller forgoes ${n} as a favour.",
        "As the stall is about to close, the sum so far is cut by {n}%.",
        "The buyers, {n} of them, pay the same each; find what each pays.",
    ),
    Shop(
        "printer",
        (("posters", 5), ("banners", 25), ("albums", 18), ("calendars", 7)),
        "An order lists {n} {goods}, unit price ${price}.",
        "Express handling raises it by ${n}.",
        "A complaint earns a deduction of ${n}.",
        "A quantity rebate takes {n}% off the sum so far.",
        "The invoice goes to {n} clubs in equal amounts; find the amount for a club.",
    ),
)
