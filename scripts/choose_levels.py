"""Choose the levels of every slice for the embedded model, and write them to src/bitproof/data/levels.json.

    python scripts/choose_levels.py [--store FOLDER] [SLICE]...

The reference is asked 12 items a level, of a seed that no suite uses; its scores are written beside the levels. Answers
are kept in FOLDER, so that a new slice costs its own time only (minutes; a quarter of an hour for all).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bitproof.engines.emulated import EmulatedGenerator
from bitproof.evaluate.runner import Subject
from bitproof.evaluate.suite.build import Profile
from bitproof.evaluate.suite.registry import find_slice, slices
from bitproof.evaluate.tiers import choose, level_scores
from bitproof.models.reference import EMBEDDED, load
from bitproof.store.runs import Store

OUT = Path(__file__).resolve().parent.parent / "src" / "bitproof" / "data" / "levels.json"
ASKED = Profile(name="levels", items=12, max_tokens=560, max_context=2100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", nargs="*", metavar="SLICE")
    parser.add_argument("--store", type=Path, default=Path("levels"))
    given = parser.parse_args()
    reference = load(EMBEDDED)
    known = json.loads(OUT.read_text()) if OUT.exists() else {"references": {}}
    entry = known["references"].setdefault(reference.digest, {"name": reference.name, "levels": {}, "scores": {}})
    with Store(given.store) as store, EmulatedGenerator(reference) as engine:
        subject = Subject(name="reference", engine=engine, model=reference.digest)
        for slice_ in [find_slice(name) for name in given.slices] or slices().values():
            if slice_.sweep or len(slice_.levels) == 1:  # nothing to choose
                entry["levels"][slice_.name] = slice_.levels
            elif scores := level_scores(store, reference.tokenizer, subject, [slice_], ASKED, seed=0).get(slice_.name):
                entry["levels"][slice_.name] = choose(scores)
                entry["scores"][slice_.name] = {f"{level:g}": round(score, 3) for level, score in scores.items()}
            else:
                print(f"{slice_.name}: not measured", flush=True)
                continue
            print(f"{slice_.name}: {entry['levels'][slice_.name]} of {entry['scores'].get(slice_.name)}", flush=True)
            OUT.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
