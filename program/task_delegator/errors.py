"""Errors that callers may catch, with the exit codes of the command lines.

    DelegatorError               anything this package reports about its surroundings
    ├── InputError               a file, a registry, a task or an option is unusable
    ├── ProgramError             a compiled program cannot be loaded here
    ├── LMError                  the language model does not start, refuses or is silent
    │   ├── LMSpecError          a spec names no LM that can be used here
    │   └── LMAnswerError        what it answers cannot be read
    ├── EmbedderError            a hosted embedder refuses, is silent or cannot be reached
    ├── RerankerError            a reranker fails, or gives no score for each agent
    ├── AddressError             an address is in use, or none of this machine
    └── StoreError               the store of runs, studies and models cannot be used

Each message is one line that names what, where and the remedy. The base sees to it that what
others wrote forges no line in it, and that no password of an address is shown. Misuse of the
Python API (a wrong type, a negative k) raises the built-in exceptions.

``exit_code`` is what command lines return: 2 for what fails again until it is mended (input,
options, keys, packages), 3 for surroundings that may answer when they are asked again.
"""

from .text import shown_safely

STOPPED = 130  # exit code of a command that was stopped by Ctrl-C, as shells have it
_MOST_CHARACTERS = 1000  # of a message


class DelegatorError(Exception):
    """Base of every error that this package raises about its surroundings.

    Args:
        message: kept on one line, without control characters and passwords, and not too long.
    """

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        super().__init__(shown_safely(str(message), _MOST_CHARACTERS))


class InputError(DelegatorError):
    """Report an unusable file, registry, task or option."""


class ProgramError(DelegatorError):
    """Report a compiled program that does not fit this code, embedder, reranker or registry."""


class LMError(DelegatorError):
    """Report a language model that is missing, misnamed, unreachable or silent."""

    exit_code = 3


class LMSpecError(LMError):
    """Report an LM whose spec is unknown, or that lacks a key, a package or a file."""

    exit_code = 2


class LMAnswerError(LMError):
    """Report an LM whose answer holds no answer to the question, or no probabilities."""


class EmbedderError(DelegatorError):
    """Report a hosted embedder that is misnamed, unreachable or silent, or that refuses."""

    exit_code = 3


class RerankerError(DelegatorError):
    """Report a reranker that fails at a task, or gives no score for each agent."""

    exit_code = 3


class AddressError(DelegatorError):
    """Report an address that the service cannot listen on."""

    exit_code = 3


class StoreError(DelegatorError):
    """Report a store of runs, studies and models that cannot be used."""

    exit_code = 3
