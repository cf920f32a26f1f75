"""Writing a GGUF file with the keys of another one: other tensors, in other types (ggml's docs/gguf.md)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitproof.models.headers import Header, ggml_types

__all__ = ["Entry", "write_gguf"]

Entry = tuple[str, tuple[int, ...], str]  # a tensor's name, its shape (outermost first), its GGUF type


def write_gguf(
    file: Path, header: Header, kind: str, tensors: Sequence[Entry], data: Callable[[str, str], NDArray[np.uint8]]
) -> None:
    """Write the keys of `header`, with `kind` ("BF16") as `general.file_type`, then `tensors`, in their order.

    `data` gives the bytes of a tensor by its name and type; it is called once for each, in their order.
    """
    numbers = {name: (number, block, size) for number, (name, block, size) in ggml_types().items()}
    infos, offset = [], 0
    for name, shape, gguf_type in tensors:
        number, block, size = numbers[gguf_type]
        encoded = name.encode()
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        infos.append(struct.pack("<Q", len(encoded)) + encoded + dimensions + struct.pack("<IQ", number, offset))
        offset += _padded(math.prod(shape) // block * size, header.alignment)
    with file.open("wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), header.n_keys) + _keys(header, kind))
        out.write(b"".join(infos))
        for name, _, gguf_type in tensors:
            out.write(b"\0" * (_padded(out.tell(), header.alignment) - out.tell()))
            out.write(np.ascontiguousarray(data(name, gguf_type)).data)
        out.write(b"\0" * (_padded(out.tell(), header.alignment) - out.tell()))


def _keys(header: Header, kind: str) -> bytes:
    from gguf import LlamaFileType

    start, end = header.keys_span
    with header.path.open("rb") as base:
        base.seek(start)
        keys = bytearray(base.read(end - start))
    at = header.spans["general.file_type"][0] - start
    struct.pack_into("<I", keys, at, LlamaFileType[f"MOSTLY_{kind}"])
    return bytes(keys)


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
