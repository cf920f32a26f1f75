"""Model Equality Testing: the MMD of the texts, from samples at T=1 of both sides.

Gao, Liang, Guestrin, Model Equality Testing: Which Model Is This API Serving?, arXiv 2410.20247: MMD with a Hamming
kernel on characters, p-values by permutation. The statistic is computed by the authors' package (`peers/ask_met.py`).
Deviations: labels are permuted within each prompt, which is exact given the prompts, where the package permutes over
all of them together; one table of the package's statistics serves all audits.

An audit takes whole prompts, all cached answers of each. The reference side are as many samples of the reference as
another engine serves it; they cost nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.audit_cache import Answer
from benchmarks.audit_peer_power import Floats, Ints
from benchmarks.common import ROOT
from benchmarks.peers import FOLDER, SETTINGS, PeerError

__all__ = ["Met", "ask_package", "prepare_met"]

PERMUTATIONS = 500


@dataclass(frozen=True, eq=False)
class Met:
    """`splits` [prompts, splits] is the package's MMD of each prompt for every split, the true one first.

    Scores are 1 - p, the p-value as the package takes it: the share of permutations that reach the statistic.
    """

    splits: Floats
    cost_tokens: Ints
    alpha: float

    @property
    def own_threshold(self) -> float:
        """Reject where p < alpha."""
        return 1 - self.alpha

    def scores(self, draws: Ints, used: Ints, rng: np.random.Generator) -> Floats:
        """1 - p of each audit, over the prompts whose answers are all paid for; -inf where none is."""
        whole = (used > 0) & (used == self.cost_tokens[draws])
        found = np.full(len(draws), -np.inf)
        for row, prompts in enumerate(draws):
            kept = self.splits[prompts[whole[row]]]  # [k, splits]
            if not len(kept):
                continue
            drawn = rng.integers(kept.shape[1], size=(PERMUTATIONS, len(kept)), dtype=np.int16)
            permuted = kept[np.arange(len(kept)), drawn].mean(axis=1)
            found[row] = 1 - np.mean(permuted >= kept[:, 0].mean() - 1e-12)
        return found

    def take(self, prompts: Ints) -> Met:
        """See `Prepared`."""
        return Met(self.splits[prompts], self.cost_tokens[prompts], self.alpha)


def prepare_met(
    endpoint: Sequence[Answer], reference: Sequence[Answer], probes: Sequence[int], *, alpha: float = 0.01
) -> Met:
    """Two files of samples as the test sees them; prompts without all samples on both sides are left out.

    Raises PeerError where the package is not installed or fails.
    """
    groups = [
        {probe: [one for one in side if one.probe == probe] for probe in probes} for side in (endpoint, reference)
    ]
    sizes = [max((len(answers) for answers in group.values()), default=0) for group in groups]
    rows = [
        row
        for row, probe in enumerate(probes)
        if all(size and len(group[probe]) == size for group, size in zip(groups, sizes, strict=True))
    ]
    cost = np.zeros(len(probes), dtype=np.int64)
    if not rows:
        return Met(np.zeros((len(probes), 1)), cost, alpha)
    table = ask_package([[[one.text for one in group[probes[row]]] for group in groups] for row in rows])
    found = np.array(table["splits"])
    if abs(found[:, 0].mean() - table["whole"]) > 1e-9:
        raise PeerError(f"the prompts' statistics average to {found[:, 0].mean()}, not to {table['whole']}")
    splits = np.zeros((len(probes), found.shape[1]))
    splits[rows] = found
    cost[rows] = [sum(one.answer_tokens for one in groups[0][probes[row]]) for row in rows]
    return Met(splits, cost, alpha)


def ask_package(prompts: Sequence[Sequence[Sequence[str]]], *, check: int = 0) -> dict[str, Any]:
    """What `peers/ask_met.py` says of [endpoint's answers, reference's answers] for each prompt."""
    python = ROOT / ".venvs" / "peer-met" / "bin" / "python"
    if not python.exists():
        raise PeerError("met is not installed; install it with: python -m benchmarks.peers install met")
    with tempfile.TemporaryDirectory() as folder:
        texts, out = Path(folder) / "texts.json", Path(folder) / "out.json"
        texts.write_text(json.dumps({"prompts": prompts}))
        command = [str(python), str(FOLDER / "ask_met.py"), "--texts", str(texts), "--out", str(out)]
        done = subprocess.run(
            [*command, "--check", str(check)],
            env={**os.environ, **SETTINGS},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PeerError(f"ask_met.py ended with {done.returncode}:\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(out.read_text())
        return answer
