"""Models that an audit must not take for a precision: made from the master, each by what its name says.

`decoy-template` has another chat template, `decoy-finetune` a little training on Python's own documentation,
`decoy-finetune-longer` more of it on other text, `decoy-finetune-code` as little on source code, `decoy-sibling` three
blocks fewer and was healed on the master's distributions, `gptq-other` and `awq-other` are another toolkit's INT4 on
other calibration text. Everything is seeded. Training is in float32 with matrix products in bfloat16, on text that no
probe comes from.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.audit_classes import Maker
from benchmarks.peers import run_peer
from bitproof.models.reference import load
from bitproof.quantize.calibration import load_calibration

TEMPLATE = (
    "{% for message in messages %}{{ message['role'].capitalize() + ': ' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
ROW = 128  # tokens of a training row, two of them a step
FINETUNE_STEPS, FINETUNE_RATE = 40, 2e-5
LONGER_STEPS, LONGER_RATE = 120, 1e-5
CODE_STEPS, CODE_RATE = 60, 2e-5
PRUNED_BLOCKS, HEAL_STEPS, HEAL_RATE = (12, 17, 22), 100, 2e-4


def other_template(master: Path, out: Path) -> None:
    """The master behind a plain "User: ... Assistant:" template."""
    _write(master, out, load_file(master / "model.safetensors"))
    (out / "chat_template.jinja").write_text(TEMPLATE)


def finetuned(master: Path, out: Path) -> None:
    """The master after a few dozen AdamW steps on the help texts of Python's keywords and types."""
    model = _model(master)
    rows = documentation(load(master).tokenizer)
    _train(model, _batches(rows, FINETUNE_STEPS), FINETUNE_RATE, teacher=None)
    _write(master, out, model.state_dict())


def finetuned_longer(master: Path, out: Path) -> None:
    """The master after three times as many, smaller steps on the classes of the calibration text."""
    model = _model(master)
    _train(model, _batches(calibration(master, LONGER_STEPS, seed=2), LONGER_STEPS), LONGER_RATE, teacher=None)
    _write(master, out, model.state_dict())


def finetuned_on_code(master: Path, out: Path) -> None:
    """The master after as light a training on the source of asyncio."""
    model = _model(master)
    files = sorted(Path(asyncio.__file__).parent.glob("*.py"))
    rows = _rows(load(master).tokenizer, [file.read_text(encoding="utf-8") for file in files])
    _train(model, _batches(rows, CODE_STEPS), CODE_RATE, teacher=None)
    _write(master, out, model.state_dict())


def sibling(master: Path, out: Path) -> None:
    """The master without `PRUNED_BLOCKS`, then trained towards the master's own next-token distributions."""
    model, teacher = _model(master), _model(master)
    kept = [layer for index, layer in enumerate(model.model.layers) if index not in PRUNED_BLOCKS]
    model.model.layers = torch.nn.ModuleList(kept)
    for index, layer in enumerate(kept):
        layer.self_attn.layer_idx = index
    model.config.num_hidden_layers = len(kept)
    _train(model, _batches(calibration(master, HEAL_STEPS, seed=1), HEAL_STEPS), HEAL_RATE, teacher=teacher)
    _write(master, out, model.state_dict(), num_hidden_layers=len(kept))


def calibration(master: Path, steps: int, *, seed: int) -> Tensor:
    """Rows of token ids [n, ROW] of the calibration text, enough for so many steps."""
    text = load_calibration(None, load(master), max_tokens=steps * 2 * ROW, seed=seed)
    tokens = torch.cat([torch.as_tensor(sequence, dtype=torch.int64) for sequence in text.sequences])
    return tokens[: len(tokens) // ROW * ROW].reshape(-1, ROW)


def documentation(tokenizer: Any) -> Tensor:
    """Python's help topics as rows of token ids [n, ROW], shuffled."""
    names = sorted(topics)
    Random(0).shuffle(names)
    return _rows(tokenizer, [topics[name] for name in names])


def other_toolkit(recipe: str, n_rows: int) -> Maker:
    """A recipe of llm-compressor (`benchmarks/peers`), calibrated on so many rows of 512 tokens of documentation."""

    def make(master: Path, out: Path) -> None:
        rows = documentation(load(master).tokenizer).numpy()
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "text.npy"
            np.save(text, rows[: 4 * n_rows].reshape(n_rows, -1))
            run_peer(f"llmcompressor-{recipe}", master, text, range(n_rows), Path(folder) / "out")
            _write(master, out, load_file(Path(folder) / "out" / "model.safetensors"))

    return make


MAKERS: dict[str, Maker] = {
    "decoy-template": other_template,
    "decoy-finetune": finetuned,
    "decoy-finetune-longer": finetuned_longer,
    "decoy-finetune-code": finetuned_on_code,
    "decoy-sibling": sibling,
    "gptq-other": other_toolkit("gptq", 16),
    "awq-other": other_toolkit("awq", 4),
}


def _rows(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Texts one after another as rows of token ids [n, ROW]."""
    ids = [token for text in texts for token in tokenizer(text)["input_ids"]]
    return torch.tensor(ids[: len(ids) // ROW * ROW]).reshape(-1, ROW)


def _model(master: Path) -> Any:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(master, dtype=torch.float32, local_files_only=True)


def _batches(rows: Tensor, steps: int) -> Iterator[Tensor]:
    for step in range(steps):
        yield rows[torch.tensor([2 * step, 2 * step + 1]) % len(rows)]


def _train(model: Any, batches: Iterator[Tensor], rate: float, *, teacher: Any) -> None:
    """AdamW on the next token, or on the teacher's distribution of it where there is a teacher."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0, fused=True)
    for step, tokens in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 5)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=tokens[:, :-1], use_cache=False).logits.flatten(0, 1).float()
            if teacher is None:
                loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
            else:
                with torch.no_grad():
                    wanted = teacher(input_ids=tokens[:, :-1], use_cache=False).logits.flatten(0, 1).float()
                loss = torch.nn.functional.kl_div(
                    logits.log_softmax(-1), wanted.log_softmax(-1), reduction="batchmean", log_target=True
                )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            print(f"step {step}: {float(loss.detach()):.3f} nats", flush=True)


def _write(master: Path, out: Path, weights: dict[str, Tensor], **changes: Any) -> None:
    """A model directory: these weights in BF16, the master's other files, `changes` in its configuration."""
    for file in master.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, out)
    config = json.loads((out / "config.json").read_text()) | changes
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in weights.items()
        if name != "lm_head.weight"  # tied to the embedding
    }
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
