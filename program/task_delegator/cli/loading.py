"""Load a program while what takes longest is prepared beside it, in threads."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def loading(embedder: str | None) -> Iterator[None]:
    """Prepare an embedder and the model of languages while the block loads a program.

    Opening the encoder leaves Python's lock to the import of DSPy for much of the time. What
    fails in a thread fails again where it is needed, and is reported there. Meanwhile the
    collector of cycles is off: what is loaded stays, and would be looked through again and again.

    Args:
        embedder: spec of a packaged one that is needed, as far as is known; None for none.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with ThreadPoolExecutor(2, thread_name_prefix="loading") as pool:
            if embedder is not None:
                pool.submit(_open_embedder, embedder)
                pool.submit(_open_languages)
            yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _open_embedder(spec: str) -> None:
    from ..embedders import embedder

    embedder(spec)


def _open_languages() -> None:
    from ..languages import prepare_languages

    prepare_languages()
