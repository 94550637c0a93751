"""Write a LoRA adapter as the GGUF file that llama.cpp loads beside its base model."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from task_delegator.errors import InputError
from task_delegator.system import replacing

try:
    gguf: Any = import_module("gguf")
except ImportError as error:
    raise InputError(
        "finetune: gguf is not installed; run pip install 'task-delegator[finetune]'"
    ) from error

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_adapter(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    alpha: float,
    heads: int,
    kv_heads: int,
    name: str,
) -> None:
    """Write an adapter for the llama architecture in half precision, in one step.

    llama.cpp stores the rows of the query and key projections interleaved, for its rotary
    embedding: the rows of their B matrices are permuted alike.

    Args:
        path: the file to write.
        tensors: by peft's names, A of shape (rank, in) and B of shape (out, rank).
        alpha: what B A is scaled by, over the rank.
        heads: of the queries.
        kv_heads: of the keys.
        name: of the adapter.

    Raises:
        InputError: a tensor is of no layer that llama.cpp adapts.
    """
    with replacing(path) as part:
        writer = gguf.GGUFWriter(part, "llama")
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
        writer.add_name(name)
        for key, tensor in sorted(tensors.items()):
            layer, module, matrix = _place(key)
            if matrix == "b" and module in ("self_attn.q_proj", "self_attn.k_proj"):
                tensor = interleaved(tensor, heads if "q_proj" in module else kv_heads)
            name = f"blk.{layer}.{_NAMES[module]}.weight.lora_{matrix}"
            writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """Return rows of a projection in llama.cpp's order: both halves of a head in turn."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _place(key: str) -> tuple[int, str, str]:
    """Return layer, module and matrix of a peft name.

    ``base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight``.
    """
    words = key.split(".")
    if "layers" in words:
        at = words.index("layers")
        module, matrix = ".".join(words[at + 2 : at + 4]), words[at + 4]
        if module in _NAMES and matrix in ("lora_A", "lora_B"):
            return int(words[at + 1]), module, matrix[-1].lower()
    raise InputError(f"adapter: {key}: no layer that llama.cpp adapts")
