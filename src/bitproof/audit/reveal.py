"""The demo's reveal: endpoints of one model's name, another variant drawn behind each, audited, and then revealed.

Each is a real llama.cpp server on the loopback interface. The draw is sealed before the first question: its SHA-256
with a nonce is given out then, what was hashed after the verdicts. An audit is given an address and the model's name,
as of any endpoint; what is served is called by that name too.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from bitproof.audit.audit import audit
from bitproof.audit.conversation import PATIENCE
from bitproof.audit.plan import AuditPlan
from bitproof.audit.profile import REFERENCE, Profile
from bitproof.audit.results import AuditReport
from bitproof.audit.reveal_results import Finding, Provider, Reveal
from bitproof.engines.http import HttpGenerator
from bitproof.engines.llamacpp_server import LlamaCppGenerator
from bitproof.models.reference import EMBEDDED, Reference, find_embedded
from bitproof.quantize.gguf_rounded import stored_as, write_rounded
from bitproof.quantize.names import parse_variant
from bitproof.types import NotMeasured, Progress

__all__ = ["POOL", "Draw", "Served", "draw", "finding", "left_out", "name_all", "revealed", "serving"]

POOL = (REFERENCE, *("gguf-q8_0", "fp8a16", "w6a16-g64", "w4a16-g64", "gguf-q4_0"))
"""What can be served: rungs of the shipped profile that take no tool but ours. Those for which GGUF has no type are
served as rounded weights in BF16."""
PROVIDERS = ("A", "B", "C")
CONTEXT_TOKENS = 512  # the longest question has 46 tokens


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What stands behind each of PROVIDERS, of POOL; `seed` is None where the system's entropy drew it."""

    behind: tuple[str, ...]
    nonce: str
    seed: int | None

    @property
    def opening(self) -> str:
        """What was hashed: a line of the nonce, and one of each provider with the profile's name of what it serves."""
        lines = (f"{name}={rung(one)}" for name, one in zip(PROVIDERS, self.behind, strict=True))
        return "".join(f"{line}\n" for line in (self.nonce, *lines))

    @property
    def seal(self) -> str:
        """SHA-256 of the opening, in hexadecimal."""
        return hashlib.sha256(self.opening.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Served:
    """An endpoint as whoever audits it knows it."""

    name: str
    url: str
    model: str


def rung(name: str) -> str:
    """The profile's name of one of POOL."""
    return REFERENCE if name == REFERENCE else parse_variant(name).name


def left_out(reference: Reference) -> NotMeasured | None:
    """Why there can be no reveal; None where there can."""
    if reference.name != EMBEDDED:
        return NotMeasured(f"left out: the profile that comes with bitproof is that of {EMBEDDED}")
    if find_spec("xllamacpp") is None:
        return NotMeasured("left out: llama.cpp is not installed; pip install 'bitproof[llamacpp]' does that")
    return None


def draw(seed: int | None = None) -> Draw:
    """Draw another one of POOL for each provider."""
    source = random.SystemRandom() if seed is None else random.Random(seed)
    return Draw(behind=tuple(source.sample(POOL, len(PROVIDERS))), nonce=secrets.token_hex(16), seed=seed)


@contextmanager
def serving(drawn: Draw, folder: Path, *, progress: Progress | None = None) -> Iterator[list[Served]]:
    """Serve what was drawn, from files in `folder` that are gone afterwards, as the servers are.

    Raises MissingPartError without the embedded model or xllamacpp, EnvironmentFailed for a full disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".providers-", dir=folder) as files, ExitStack() as stack:
        found = []
        for number, (name, one) in enumerate(zip(PROVIDERS, drawn.behind, strict=True)):
            if progress:
                progress(number, 2 * len(PROVIDERS), f"starting provider {name}")
            file = Path(files) / f"{name}.gguf"
            write_rounded(find_embedded(), file, None if one == REFERENCE else parse_variant(one).weights)
            server = LlamaCppGenerator(file, slots=1, context_tokens=CONTEXT_TOKENS, alias=EMBEDDED)
            stack.enter_context(server)
            file.unlink()  # it is mapped; a demo that is killed leaves no weights behind
            found.append(Served(name=name, url=server.client.where, model=EMBEDDED))
        yield found


def name_all(
    served: Sequence[Served], profile: Profile, plan: AuditPlan, *, progress: Progress | None = None
) -> list[tuple[AuditReport, float]]:
    """Audit each endpoint as `bitproof audit URL` does; gives its report, and the seconds that took."""
    found = []
    for number, one in enumerate(served):
        if progress:
            progress(len(served) + number, 2 * len(served), f"auditing provider {one.name}")
        began = time.monotonic()
        with HttpGenerator(one.url, model=one.model, workers=1, patience=PATIENCE) as engine:
            report = audit(engine, profile, plan, endpoint=one.url, model=one.model)
        found.append((report, time.monotonic() - began))
    return found


def revealed(drawn: Draw, served: Sequence[Served], audits: Sequence[tuple[AuditReport, float]]) -> Reveal:
    """The verdicts beside what was drawn."""
    providers = tuple(
        Provider(
            name=one.name,
            url=one.url,
            audit=report,
            seconds=seconds,
            behind=rung(behind),
            stored_as=stored_as(None if behind == REFERENCE else parse_variant(behind).weights),
            finding=finding(report, rung(behind)),
        )
        for one, (report, seconds), behind in zip(served, audits, drawn.behind, strict=True)
    )
    return Reveal(
        model=served[0].model,
        providers=providers,
        pool=tuple(rung(name) for name in POOL),
        seal=drawn.seal,
        opening=drawn.opening,
        seed=drawn.seed,
    )


def finding(report: AuditReport, behind: str) -> Finding:
    """How a verdict stands to what was served."""
    if report.outcome == "inconclusive":
        return "undecided"
    if report.outcome == "consistent":
        return "named" if behind == REFERENCE else "equal" if behind in report.equals else "missed"
    if behind == REFERENCE or (report.closest and behind not in report.closest):
        return "missed"
    return "unnamed" if not report.closest else "named" if report.closest == (behind,) else "among"
