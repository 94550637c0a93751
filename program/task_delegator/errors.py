"""Errors a caller may want to catch.

    DelegatorError               anything this package reports about its surroundings
    ├── InputError               a file, a registry, a task or an option is unusable
    ├── ProgramError             a compiled program cannot be loaded here
    └── LMError                  the language model is missing, misnamed or silent

Each message is one line that names what, where and the remedy. Misuse of the
Python API (a wrong type, a negative k) raises the built-in exceptions.
"""


class DelegatorError(Exception):
    """Base of every error that this package raises about its surroundings."""


class InputError(DelegatorError):
    """Report an unusable file, registry, task or option."""


class ProgramError(DelegatorError):
    """Report a compiled program that does not fit this code, embedder or registry."""


class LMError(DelegatorError):
    """Report a language model that is missing, misnamed, unreachable or silent."""
