"""Open an embedder by its spec, as ``--embedder`` takes it.

``minilm-tuned``, ``minilm``, ``mpnet``, ``e5``, ``encoder:<folder>``, ``st:<model or path>``; any
other with a slash is a DSPy model.
"""

from collections.abc import Callable
from functools import lru_cache

from ..errors import InputError
from ..settings import EMBEDDER
from ..system import Lock
from .base import CacheableEmbedder, Embedder
from .cache import VectorCache
from .cached import CachedEmbedder
from .e5 import E5
from .hosted import HostedEmbedder
from .minilm import MiniLM
from .mpnet import MPNet
from .sentence_transformers import SentenceTransformers
from .tuned_encoder import DefaultEncoder, TunedEncoder

DEFAULT = EMBEDDER
_LOCAL: dict[str, Callable[[], CacheableEmbedder]] = {
    DEFAULT: DefaultEncoder,
    "minilm": MiniLM,
    "mpnet": MPNet,
    "e5": E5,
}


def embedder(spec: str | Embedder = DEFAULT) -> Embedder:
    """Return the embedder that a spec names, one instance per process, or the one that is given.

    Raises:
        InputError: the spec is not known or its packages are missing.
    """
    if not isinstance(spec, str):
        return spec
    with _turn:
        return _named(spec)


_turn = Lock()


@lru_cache(maxsize=4)
def _named(spec: str) -> CachedEmbedder:
    return CachedEmbedder(
        _encoder(spec), VectorCache("vectors.sqlite", replaces="encodings.sqlite")
    )


def _encoder(spec: str) -> CacheableEmbedder:
    kind, _, rest = spec.partition(":")
    if spec in _LOCAL:
        return _LOCAL[spec]()
    if kind == "encoder" and rest:
        return TunedEncoder(rest)
    if kind == "st" and rest:
        return SentenceTransformers(rest)
    if "/" in spec:
        return HostedEmbedder(spec)
    raise InputError(
        f"unknown embedder {spec!r}; use {', '.join(_LOCAL)}, encoder:<folder>, "
        "st:<model or path> or a DSPy model string"
    )
