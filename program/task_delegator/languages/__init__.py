"""The language of a task, where the embedder does not support it."""

from .detect import foreign_language, prepare_languages

__all__ = ["foreign_language", "prepare_languages"]
