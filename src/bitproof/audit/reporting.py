"""The report of an audit, from what was asked and read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bitproof.audit.conversation import Conversation
from bitproof.audit.held_out import rates_of
from bitproof.audit.logprobs import LogprobTest
from bitproof.audit.meter import meter_of
from bitproof.audit.observe import Reading, served
from bitproof.audit.plan import DRAWN
from bitproof.audit.preflight import findings
from bitproof.audit.profile import Profile
from bitproof.audit.prompts import begun
from bitproof.audit.recording import public_address
from bitproof.audit.results import Answer, AuditReport
from bitproof.audit.standing import Standing
from bitproof.audit.text import TextTest
from bitproof.audit.wording import words
from bitproof.engines.generation import Completion
from bitproof.engines.http_heard import Heard

__all__ = ["Gathered", "report_of"]

MOST_CHARACTERS = 4000  # of an answer that is kept


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What an audit has found: `noticed` are findings, `lacking` what keeps a verdict from being given."""

    profile: Profile
    kind: str
    test: LogprobTest | TextTest | None
    talk: Conversation
    readings: dict[str, list[Reading]]  # by the key of what was answered
    equals: tuple[str, ...]
    noticed: list[str]
    lacking: list[str]
    heard: Heard | None

    @property
    def other_prompts(self) -> str:
        """Whether the endpoint counts other prompt tokens than the reference's template makes, in words."""
        for one in self.talk.answered:
            probe = int(one.key.partition(".")[0])
            ours = self.profile.prompt_tokens[probe]
            if one.prompt_logprobs is not None:
                if not one.logprobs:
                    continue
                ours += len(begun(self.profile, probe))
            if one.prompt_tokens and one.prompt_tokens != ours:
                return (
                    f"it counts {one.prompt_tokens} prompt tokens where the reference's template makes {ours}: another"
                    " template, a hidden prompt or another tokenizer"
                )
        return ""


def report_of(
    found: Gathered, standing: Standing | None, *, alpha: float, seed: int, endpoint: str, model: str
) -> AuditReport:
    """The report; without a verdict where anything is lacking."""
    profile, talk, test = found.profile, found.talk, found.test
    missing = [*found.lacking, *_from_a_cache(found.heard)]
    noticed = [*talk.refusals, *found.noticed]
    noticed += findings(talk.completions, talk.requests, top=test.top if isinstance(test, LogprobTest) else 0)
    if standing is not None and standing.outcome == "consistent" and standing.unseen:
        noticed.append(f"a quarter of its requests answered by {' or '.join(standing.unseen)} could not have been told")
    if standing is not None and standing.alignment is not None and not standing.alignment.holds:
        noticed.append(str(standing.alignment))
    if found.other_prompts:
        explains = standing is not None and standing.outcome == "inconsistent"
        (missing if explains else noticed).append(found.other_prompts)
    readings = [reading for group in found.readings.values() for reading in group]
    meter = meter_of(profile) if found.kind not in DRAWN else None
    residuals, expected = _residuals(profile, test)
    report = AuditReport(
        endpoint=public_address(endpoint) or endpoint.partition("?")[0],
        model=model,
        reference=profile.reference,
        profile_digest=profile.digest,
        test=found.kind,
        outcome=standing.outcome if standing and not missing else "inconclusive",
        words="",
        closest=standing.closest if standing and not missing else (),
        excluded=standing.excluded if standing else (),
        equals=found.equals,
        probability=standing.probability if standing else {},
        fit=standing.fit if standing else {},
        names=profile.names,
        residuals=residuals,
        expected=expected,
        meter=meter.read(_answered(found)) if meter else None,
        scale=meter.scale_at(readings).noise_nats if meter else {},
        sampler=standing.sampler if standing else "",
        n_probes=len(talk.completions),
        n_places=len(readings),
        answer_tokens=talk.spent,
        prompt_tokens=sum(one.prompt_tokens for one in (*talk.aside, *talk.completions)),
        top_logprobs=test.top if isinstance(test, LogprobTest) else 0,
        alpha=alpha,
        looks=test.looks if isinstance(test, LogprobTest) else (),
        seed=seed,
        answers=tuple(_answer(profile, one, len(found.readings.get(one.key, ()))) for one in talk.completions),
        findings=(*noticed, *_of_itself(found.heard, model)),
        missing=tuple(missing),
        how=_how(found, alpha),
    )
    return replace(report, words=words(report))


def _answered(found: Gathered) -> list[Reading]:
    """Readings up to the first off the path of each request: the meter's scale is read there, and answers end there."""
    path = found.profile.path_columns
    kept: list[Reading] = []
    for group in found.readings.values():
        off = (n for n, reading in enumerate(group) if reading.column != path[reading.row])
        kept += group[: next(off, len(group)) + 1]
    return kept


def _residuals(
    profile: Profile, test: LogprobTest | TextTest | None
) -> tuple[tuple[float, ...], dict[str, tuple[float, ...]]]:
    """The residual profile that was seen, and the one that each name has at the same places."""
    if not isinstance(test, LogprobTest) or not test.readings:
        return (), {}
    namer, answers = test.namer, served(test.readings, top=test.top)
    expected = {name: tuple(namer.expected(name, answers.places)[0].tolist()) for name in profile.names}
    return tuple(namer.seen(answers).tolist()), expected


def _answer(profile: Profile, completion: Completion, n_read: int) -> Answer:
    probe = int(completion.key.partition(".")[0])
    path = [int(token) for token in profile.path[probe] if token >= 0 and token not in profile.end_tokens]
    given = "" if completion.prompt_logprobs is None else "".join(profile.texts[one] for one in begun(profile, probe))
    return Answer(
        question=profile.probes[probe],
        text=(given + completion.text)[:MOST_CHARACTERS],
        reference="".join(profile.texts[token] for token in path),
        n_read=n_read,
        error=completion.error if completion.finish == "error" else "",
    )


def _from_a_cache(heard: Heard | None) -> list[str]:
    """What was computed at another time says nothing of what is served now."""
    if heard is None or heard.cached * 2 <= heard.answers:
        return []
    return [f"{heard.cached} of {heard.answers} answers came from a cache, as their headers say"]


def _of_itself(heard: Heard | None, model: str) -> list[str]:
    """Findings from what the endpoint says of itself."""
    if heard is None:
        return []
    found = []
    if len(heard.models) > 1:
        found.append(f"it answers under {len(heard.models)} names: {_quoted(heard.models)}")
    elif model and heard.models and model not in heard.models:
        found.append(f"it answers as {_quoted(heard.models)} where {model!r} was asked for")
    if len(heard.fingerprints) > 1:
        found.append(f"its system_fingerprint changed: {_quoted(heard.fingerprints)}")
    if 0 < heard.cached * 2 <= heard.answers:
        found.append(f"{heard.cached} of {heard.answers} answers came from a cache, as their headers say")
    if heard.cached_prompt_tokens:
        found.append(f"{heard.cached_prompt_tokens:,} prompt tokens came from a prefix cache")
    return found


def _how(found: Gathered, alpha: float) -> dict[str, str]:
    """What is to be known of the endpoint and of the test, by what it is."""
    rates = rates_of(found.kind, top=getattr(found.test, "top", 0), alpha=alpha)
    heard = found.heard
    said = {"answers as": heard.models, "system_fingerprint": heard.fingerprints} if heard else {}
    told = {what: ", ".join(names) for what, names in said.items() if names}
    return {**told, "rates": rates} if rates else told


def _quoted(names: dict[str, int]) -> str:
    return ", ".join(map(repr, names))
