"""The layers of MiniLM that are trained, as a module of sentence-transformers.

The lower layers do not change, so a text passes them once and their output is kept. Texts are not
padded: the tokens of a batch stand in one row, and only attention tells texts apart.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from optimize.finetune.checks import installed
from optimize.finetune.encoder.base import MOST_TOKENS

with installed("finetune encoder", "encoder,finetune"):
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    modules: Any = import_module("sentence_transformers.base.modules")
    functional: Any = import_module("torch.nn.functional")

TOKENS = "input_features"  # a key that the trainer takes for a column's
_TOGETHER = 32  # texts that pass the lower layers at once
_Packed = tuple[Any, Sequence[int]]  # tokens of texts in one row, and the number of each


class UpperLayers(modules.InputModule):
    """Encode texts, with gradients for the upper layers alone.

    Args:
        base: folder of the encoder.
        first: lowest layer that is trained.
    """

    def __init__(self, base: Path, first: int) -> None:
        super().__init__()
        transformers.utils.logging.disable_progress_bar()
        bert = transformers.BertModel.from_pretrained(
            str(base), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        ).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
        self.max_seq_length = MOST_TOKENS
        self.trained = bert.encoder.layer[first:]
        self._first = first
        self._whole = [bert]  # in a list: no module of this one, its lower part is not trained
        self._kept: dict[str, Any] = {}

    def get_embedding_dimension(self) -> int:
        """Return how many dimensions a vector has."""
        return self._whole[0].config.hidden_size

    def preprocess(
        self, inputs: Sequence[str], prompt: str | None = None, **_: Any
    ) -> dict[str, Any]:
        """Return what the lower layers make of texts, (tokens, dim), and the texts' lengths."""
        fresh = sorted({text for text in inputs if text not in self._kept}, key=len)
        for start in range(0, len(fresh), _TOGETHER):
            self._keep(fresh[start : start + _TOGETHER])
        rows = [self._kept[text] for text in inputs]
        lengths = torch.tensor([len(row) for row in rows])
        return {TOKENS: torch.cat(rows).float(), "lengths": lengths}

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add the texts' unit vectors."""
        lengths = features["lengths"].tolist()
        hidden = _through(self.trained, (features[TOKENS], lengths))
        means = torch.stack([row.mean(dim=0) for row in hidden.split(lengths)])
        features["sentence_embedding"] = functional.normalize(means, dim=-1)
        return features

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Refuse: what is saved are the weights, by the trainer, and the graph."""
        raise NotImplementedError("an encoder is saved as a graph")

    def weights(self) -> dict[str, np.ndarray]:
        """Return all weights by the names of ``BertModel``, float32."""
        state: Mapping[str, Any] = self._whole[0].state_dict()
        return {name: tensor.float().numpy() for name, tensor in state.items()}

    def _keep(self, texts: Sequence[str]) -> None:
        """Let texts pass the embeddings and the lower layers."""
        bert = self._whole[0]
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.max_seq_length)
        lengths = [len(ids) for ids in tokens["input_ids"]]
        ids = torch.tensor([i for own in tokens["input_ids"] for i in own])
        places = torch.cat([torch.arange(length) for length in lengths])
        with torch.no_grad():
            hidden = bert.embeddings(input_ids=ids[None], position_ids=places[None])[0]
            hidden = _through(bert.encoder.layer[: self._first], (hidden, lengths))
        for text, row in zip(texts, hidden.split(lengths), strict=True):
            self._kept[text] = row.half()


def _through(layers: Sequence[Any], packed: _Packed) -> Any:
    """Return the tokens after some layers, shape (tokens, dim)."""
    hidden, lengths = packed
    longest = max(lengths)
    steps = torch.arange(longest)
    shown = steps[None] < torch.tensor(lengths)[:, None]
    for layer in layers:
        attention = layer.attention
        heads = attention.self.num_attention_heads
        parts = [
            _spread(part(hidden), shown).unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in (attention.self.query, attention.self.key, attention.self.value)
        ]
        mixed = functional.scaled_dot_product_attention(*parts, attn_mask=shown[:, None, None])
        mixed = mixed.transpose(1, 2).flatten(2)[shown]
        hidden = layer.feed_forward_chunk(attention.output(mixed, hidden))
    return hidden


def _spread(row: Any, shown: Any) -> Any:
    """Return a row of tokens as texts of equal length, (texts, longest, dim)."""
    spread = row.new_zeros((*shown.shape, row.shape[-1]))
    spread[shown] = row
    return spread
