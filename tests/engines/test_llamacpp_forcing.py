"""Forcing against a model of llama.cpp's server: its sampling, its two engines of grammars, and what it withholds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitproof.engines.generation import Forced, TokenLogprob
from bitproof.engines.http_failures import Failure
from bitproof.engines.llamacpp_forcing import CENSORED_BELOW_NATS, Forcing

VOCABULARY, ENDS, PIECES, ZERO = 400, (0, 2), (7, 8), 256
PROMPT = (1, 30, 40)
ANSWER = (50, 60, 61, 62, 90)


class Server:
    """Answers a body as the server does; `knows` is the grammars it was built with, `likes` a token it always wants."""

    def __init__(self, knows: str = "llguidance gbnf", *, likes: int | None = None) -> None:
        self.knows, self.likes, self.bodies = knows, likes, list[dict[str, Any]]()

    def logprobs(self, prompt: tuple[int, ...]) -> NDArray[np.float64]:
        logits = 4 * np.random.default_rng((len(prompt), *prompt[-3:])).standard_normal(VOCABULARY)
        if self.likes is not None:
            logits[self.likes] = 30
        found: NDArray[np.float64] = logits - np.log(np.exp(logits).sum())
        return found

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        tokens, entries, rules = list(body["prompt"]), [], self._rules(body.get("grammar"))
        for place in range(body["n_predict"]):
            logprobs = self.logprobs(tuple(tokens))
            wanted = logprobs.copy()
            for token, bias in body.get("logit_bias", ()):
                if token < VOCABULARY:
                    wanted[token] += bias
            if rules is not None:
                allowed = self._allowed(rules, place)
                if not allowed:
                    raise Failure("HTTP 500: Unexpected empty grammar stack", again=True)
                wanted[[token for token in range(VOCABULARY) if token not in allowed]] = -np.inf
            taken = int(wanted.argmax())
            tokens.append(taken)
            if taken not in PIECES:
                order = np.argsort(-logprobs)[: body["n_probs"]]
                top = [{"id": int(other), "logprob": float(logprobs[other])} for other in order]
                entries.append(
                    {"id": taken, "logprob": float(logprobs[taken]), "top_logprobs": top, "bytes": [taken % 256]}
                )
            if taken in ENDS:
                return {"stop_type": "eos", "completion_probabilities": entries}
        return {"stop_type": "limit"} | ({"completion_probabilities": entries} if entries else {})

    def _rules(self, grammar: str | None) -> list[tuple[int, bool]] | None:
        """(token, whether the grammar may end before it); None for no grammar."""
        if grammar is None or "ignores" in self.knows:
            return None
        if grammar.startswith("%llguidance"):
            assert "llguidance" in self.knows, "the server would end itself"
            assert re.fullmatch(r"%llguidance \{\}\nstart:( <\[\d+\]>)+", grammar)
        elif "gbnf" not in self.knows:
            raise Failure("HTTP 400: failed to parse grammar", again=False)
        else:
            assert re.fullmatch(r"root ::=(( \()? <\[\d+\]>)+( \)\?)*", grammar)
            assert grammar.count("(") == grammar.count(")?")
        return [(int(token), bool(opens)) for opens, token in re.findall(r"(\( )?<\[(\d+)\]>", grammar)]

    def _allowed(self, rules: list[tuple[int, bool]], place: int) -> set[int]:
        if "llguidance" in self.knows:
            return {rules[place][0]}
        ends = place == len(rules) or rules[place][1]
        token = rules[place][0] if place < len(rules) else -1
        return ({token} - {*PIECES, *ENDS, ZERO, -1}) | (set(ENDS) if ends else set())


def score(forcing: Forcing, server: Server, ids: tuple[int, ...], first: int, known: Any = ()) -> Forced:
    exchange = forcing.score(ids, first, known)
    try:
        body = next(exchange)
        while True:
            try:
                answer = server(body)
            except Failure as failure:
                body = exchange.throw(failure)
            else:
                body = exchange.send(answer)
    except StopIteration as end:
        found: Forced = end.value
        return found


def check(found: Forced, server: Server, ids: tuple[int, ...], first: int) -> None:
    """Against the model itself."""
    expected = [server.logprobs(ids[:place]) for place in range(first, len(ids))]
    given = [logprobs[token] for logprobs, token in zip(expected, ids[first:], strict=True)]
    assert found.logprobs_nats.tolist() == given
    assert found.same_top is not None
    assert found.same_top.tolist() == [
        logprobs.argmax() == token for logprobs, token in zip(expected, ids[first:], strict=True)
    ]


def forcing_of(server: Server) -> Forcing:
    return Forcing(guidance="llguidance" in server.knows)


@pytest.mark.parametrize("knows", ["llguidance gbnf", "gbnf", "", "ignores"])
@pytest.mark.parametrize("likes", [None, 2, 61, 7])
@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        (*ANSWER, 2),
        (*ANSWER, 0),
        (50, 2, 60, 0, 61),  # texts that end in the middle
        (7, 50, 7, 8, 8, 60, 7),  # bytes that are no whole characters
    ],
)
def test_every_token_is_scored_as_the_model_scores_it(knows: str, likes: int | None, answer: tuple[int, ...]) -> None:
    server = Server(knows, likes=likes)
    forcing, ids = forcing_of(server), (*PROMPT, *answer)
    for _ in range(2):  # with nothing learnt of the server, and with what was
        check(score(forcing, server, ids, len(PROMPT)), server, ids, len(PROMPT))
    assert not (forcing.finding and "gbnf" in knows)


def test_an_answer_takes_one_request() -> None:
    for answer in (ANSWER, (*ANSWER, 2)):
        server = Server()
        score(forcing_of(server), server, (*PROMPT, *answer), len(PROMPT))
        assert len(server.bodies) == 1
    server, ids = Server(), (*PROMPT, *range(60, 360))
    check(score(forcing_of(server), server, ids, len(PROMPT)), server, ids, len(PROMPT))
    assert len(server.bodies) == 2  # more than one grammar holds


def test_tokens_that_were_forced_before_are_not_left_to_the_model() -> None:
    server = Server("gbnf", likes=2)  # it would always rather end
    forcing, ids = forcing_of(server), (*PROMPT, *ANSWER)
    score(forcing, server, ids, len(PROMPT))
    first = len(server.bodies)
    score(forcing, server, ids, len(PROMPT))
    assert first == 2 * len(ANSWER)
    score(forcing, server, (*PROMPT, *ANSWER, *ANSWER), len(PROMPT))
    assert len(server.bodies) <= first + 2 * len(ANSWER)


def test_what_the_server_decoded_itself_is_not_forced_again() -> None:
    server = Server()
    ids = (*PROMPT, *ANSWER)
    known = [
        TokenLogprob("", float(server.logprobs(ids[:place])[token]), token, (TokenLogprob("", 0.0, token),))
        for place, token in enumerate(ids)
        if place >= len(PROMPT)
    ]
    whole = score(forcing_of(server), server, ids, len(PROMPT), known)
    assert server.bodies == []
    assert whole.same_top is not None
    assert whole.same_top.all()
    other = [*known[:2], TokenLogprob("", -1.0, 399), *known[3:]]
    again = score(forcing_of(server), server, ids, len(PROMPT), other)
    assert [body["prompt"] for body in server.bodies] == [[*PROMPT, *ANSWER[:2]]]
    assert again.logprobs_nats.tolist() == whole.logprobs_nats.tolist()


def test_a_server_without_such_grammars_is_told_of() -> None:
    server = Server("")
    forcing = forcing_of(server)
    score(forcing, server, (*PROMPT, *ANSWER), len(PROMPT))
    assert forcing.finding == "its grammars know no token ids (HTTP 400: failed to parse grammar)"
    assert sum("grammar" in body for body in server.bodies) == 1
    server = Server("ignores")
    forcing = forcing_of(server)
    score(forcing, server, (*PROMPT, *ANSWER), len(PROMPT))
    assert "does not hold to them" in forcing.finding


def test_a_request_that_fails_is_no_finding() -> None:
    def full(body: dict[str, Any]) -> Any:
        raise Failure("HTTP 400: the request exceeds the context", again=False)

    def down(body: dict[str, Any]) -> Any:
        raise Failure("HTTP 503", again=True)

    for server in (full, down):
        forcing = Forcing()
        with pytest.raises(Failure, match="HTTP"):
            score(forcing, server, (*PROMPT, *ANSWER), len(PROMPT))  # type: ignore[arg-type]
        assert forcing.finding == ""


def test_a_token_of_another_vocabulary_is_refused() -> None:
    for knows in ("gbnf", ""):
        with pytest.raises(Failure, match="although 555 was forced"):
            score(Forcing(), Server(knows), (*PROMPT, 50, 555, 60), len(PROMPT))


def test_a_probability_of_zero_is_the_smallest_there_is() -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        entry = {"id": 5, "logprob": -3.4e38, "bytes": [9], "top_logprobs": [{"id": 6, "logprob": 0.0}]}
        return {"stop_type": "limit", "completion_probabilities": [entry]}

    found = score(Forcing(), answer, (1, 5), 1)  # type: ignore[arg-type]
    assert found.logprobs_nats.tolist() == [CENSORED_BELOW_NATS]
