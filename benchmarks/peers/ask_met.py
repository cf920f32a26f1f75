"""Model Equality Testing in its own environment: its MMD of every way to split one prompt's answers into two groups.

    .venvs/peer-met/bin/python benchmarks/peers/ask_met.py --texts FILE.json --out FILE.json [--check B]

`--texts` holds {"prompts": [[ENDPOINT, REFERENCE], ...]}, two lists of answers each, equally many in every list. The
answer is {"splits": [prompts, splits], "whole", "version"}: row i holds the package's `mmd_hamming` of prompt i alone
for every choice of which answers are called the endpoint's, the true one first; `whole` is its `mmd_hamming` of all
prompts together. As every prompt has equally many answers, the statistic of several prompts is the mean of theirs
(the kernel is zero across prompts, and its sums are divided by the numbers of pairs), and permuting labels within each
prompt draws one split of each: so this table is the whole stratified permutation test. The package's own permutation
test mixes labels over all prompts and computes every kernel anew; `--check B` runs it with B permutations, and adds its
p-value as "package_p_value".
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
from model_equality_testing.algorithm import run_two_sample_test
from model_equality_testing.distribution import CompletionSample
from model_equality_testing.tests import mmd_hamming
from model_equality_testing.utils import tokenize_unicode

MOST_SPLITS = 200


def main() -> None:
    """Read the texts, write the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--check", type=int, default=0)
    options = parser.parse_args()
    prompts = json.loads(options.texts.read_text())["prompts"]
    (n, m), *rest = [(len(endpoint), len(reference)) for endpoint, reference in prompts]
    if any(sizes != (n, m) for sizes in rest):
        raise SystemExit("every prompt needs equally many answers on either side")
    # all padded to the longest answer, as the package's README does
    flat = tokenize_unicode([text for endpoint, reference in prompts for text in (*endpoint, *reference)]).astype(int)
    codes = flat.reshape(len(prompts), n + m, -1)
    ways = splits(n, m)
    found = {
        "splits": [[mmd(codes[i], way) for way in ways] for i in range(len(prompts))],
        "version": version("model-equality-testing"),
    }
    both = [sample(codes[:, part].reshape(-1, codes.shape[2]), len(prompts)) for part in (slice(n), slice(n, None))]
    found["whole"] = float(mmd_hamming(*both))
    if options.check:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            p, _ = run_two_sample_test(
                *both, pvalue_type="permutation_pvalue", stat_type="mmd_hamming", b=options.check
            )
        found["package_p_value"] = float(p)
    options.out.write_text(json.dumps(found))


def splits(n: int, m: int) -> list[list[int]]:
    """Ways to call n of n + m answers the endpoint's, the true one first; a seeded part where there are many."""
    ways = [list(way) for way in combinations(range(n + m), n)]
    if len(ways) > MOST_SPLITS:
        kept = np.random.default_rng(0).choice(np.arange(1, len(ways)), MOST_SPLITS - 1, replace=False)
        ways = [ways[0], *(ways[i] for i in kept)]
    return ways


def mmd(codes: np.ndarray, way: list[int]) -> float:
    """The package's statistic for the answers [n + m, length] of one prompt, those in `way` being the endpoint's."""
    others = np.setdiff1d(np.arange(len(codes)), way)
    return float(mmd_hamming(sample(codes[way], 1), sample(codes[others], 1)))


def sample(codes: np.ndarray, prompts: int) -> CompletionSample:
    """The package's sample: equally many answers of each prompt, in order."""
    CompletionSample.sequences.fget.cache_clear()  # it keeps every sample ever made
    return CompletionSample(np.repeat(np.arange(prompts), len(codes) // prompts), codes, m=prompts)


if __name__ == "__main__":
    main()
