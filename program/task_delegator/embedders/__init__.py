"""Embedders: one file each, the protocol, specs, the cache of encodings."""

from ..settings import PACKAGED
from .base import Embedder, Encoded, utf8_bytes
from .cache import VectorCache, clear_cache, kept_files
from .cached import encode_documents, forget_tasks, forgetting, maker_of, remembering
from .fetch import RECIPES, fetch_embedder
from .late_chunking import PoolingEmbedder, encode_parts, pools_tokens
from .minilm import MiniLM, packaged_minilm
from .onnx_encoder import OnnxEncoder, onnx_session
from .packages import keep_files
from .specs import DEFAULT, embedder
from .tuned_encoder import MANIFEST, MODEL, VOCABULARY, TunedEncoder

__all__ = [
    "DEFAULT",
    "MANIFEST",
    "MODEL",
    "PACKAGED",
    "RECIPES",
    "VOCABULARY",
    "Embedder",
    "Encoded",
    "MiniLM",
    "OnnxEncoder",
    "PoolingEmbedder",
    "TunedEncoder",
    "VectorCache",
    "clear_cache",
    "embedder",
    "encode_documents",
    "encode_parts",
    "fetch_embedder",
    "forget_tasks",
    "forgetting",
    "keep_files",
    "kept_files",
    "maker_of",
    "onnx_session",
    "packaged_minilm",
    "pools_tokens",
    "remembering",
    "utf8_bytes",
]
