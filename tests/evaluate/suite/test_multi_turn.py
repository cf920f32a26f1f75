import re

from bitproof.evaluate.suite.multi_turn import SLICE, settings
from bitproof.evaluate.suite.slice import make_items
from bitproof.types import Item

ITEMS = make_items(SLICE, 1000, seed=7)


def of_kind(kind: str) -> list[tuple[Item, dict[str, object], list[str]]]:
    """Items of a kind, the wording of their setting, and what is told turn by turn, without rule and question."""
    found = []
    for item in ITEMS:
        got, name = item.cluster.split(":")[1].split("/")
        if got == kind:
            told = [item.messages[-1].content.split("\n\n")[1], *item.follow_ups[:-1]]
            found.append((item, settings()[kind][name], told))
    assert found
    return found


def slots(template: object, text: str) -> dict[str, str] | None:
    """What a template's slots hold in a text, or None where the text is not made from it."""
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(str(template)))
    match = re.fullmatch(pattern, text, re.IGNORECASE)
    return match.groupdict() if match else None


def test_level_is_the_number_of_turns() -> None:
    assert len(SLICE.clusters) >= 50
    assert {item.level for item in ITEMS} == {2, 3, 4, 5, 6}
    for item in ITEMS:
        assert 1 + len(item.follow_ups) == item.level
        assert item.follow_ups[-1].count("?") == 1
        assert not any("?" in turn for turn in item.follow_ups[:-1])


def test_an_example_of_the_same_kind_comes_first() -> None:
    for item in ITEMS:
        assert [message.role for message in item.messages] == ["user", "assistant"] * 3 + ["user"]
        assert [item.messages[at].content for at in (1, 3)] == ["OK", "OK"]
        assert item.messages[4].content.split("?")[1] == item.follow_ups[-1].split("?")[1]  # the same form of answer
        assert item.messages[0].content.split("\n\n")[1] != item.messages[-1].content.split("\n\n")[1]


def test_numbers_add_up() -> None:
    for item, wording, told in of_kind("quantity"):
        total = int(slots(wording["start"], told[0])["n"])  # type: ignore[index]
        for turn in told[1:]:
            up, down = slots(wording["up"], turn), slots(wording["down"], turn)
            assert (up is None) != (down is None)
            total += int(up["n"]) if up else -int(down["n"])  # type: ignore[index]
            assert total > 0
        assert item.right == str(total)


def known(thing: str) -> str:
    """A thing whatever its article: "A towel" and "the towel" are one."""
    return re.sub("^(a|the) ", "", thing.casefold())


def test_lists_hold_what_was_added_and_not_removed() -> None:
    for item, wording, told in of_kind("members"):
        present = set(re.split(r", | and ", slots(wording["start"], told[0])["list"]))  # type: ignore[index]
        for turn in told[1:]:
            removed, added = slots(wording["remove"], turn), slots(wording["add"], turn)
            gone = known(removed["x"]) if removed else ""
            if gone in map(known, present):
                present = {thing for thing in present if known(thing) != gone}
            else:
                assert added
                present.add(added["x"])
        assert {thing.split()[-1].casefold() for thing in present} == {
            word.casefold() for word in item.gold["expected"]
        }
        assert not {word.casefold() for word in item.gold["not"]} & {word.casefold() for word in item.gold["expected"]}


def test_the_last_value_of_the_holder_counts() -> None:
    for item, wording, told in of_kind("values"):
        state: dict[str, str] = {}
        parts = [part if part.endswith(".") else f"{part}." for part in re.split(r"(?<=\.) ", told[0])]
        for part in parts:
            got = slots(wording["start"], part)
            assert got
            state[got["h"].casefold()] = got["v"]
        for turn in told[1:]:
            got = slots(wording["change"], turn)
            assert got
            assert got["v"] not in state.values()
            state[got["h"].casefold()] = got["v"]
        question = item.follow_ups[-1].casefold()
        (asked,) = [holder for holder in state if holder in question]
        assert item.right == state[asked]


def test_the_front_of_the_queue() -> None:
    for item, wording, told in of_kind("queue"):
        line = re.split(r", | and ", slots(wording["start"], told[0])["list"])  # type: ignore[index]
        for turn in told[1:]:
            joined = slots(wording["join"], turn)
            if joined:
                line.append(joined["x"])
            else:
                assert turn == wording["leave"]
                line.pop(0)
        assert item.right == line[0]


def test_things_change_places() -> None:
    for item, wording, told in of_kind("swap"):
        start = slots(wording["start"], told[0])
        assert start
        state = dict(zip(wording["holders"], (start["a"], start["b"], start["c"]), strict=True))  # type: ignore[call-overload]
        for turn in told[1:]:
            pair = slots(wording["swap"], turn)
            assert pair
            state[pair["x"]], state[pair["y"]] = state[pair["y"]], state[pair["x"]]
        (asked,) = [holder for holder in state if holder in item.follow_ups[-1]]
        assert item.right == state[asked]
