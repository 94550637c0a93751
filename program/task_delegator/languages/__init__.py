"""The language of a task or an agent, where the embedder does not support it."""

from .detect import foreign_language, language_of_agent, prepare_languages

__all__ = ["foreign_language", "language_of_agent", "prepare_languages"]
