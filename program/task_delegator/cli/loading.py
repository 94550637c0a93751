"""Load a program while what takes longest is prepared beside it, in threads."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def loading(*, packaged: bool) -> Iterator[None]:
    """Prepare the packaged embedder and the model of languages while the block loads a program.

    Opening the encoder leaves Python's lock to the import of DSPy for much of the time. What
    fails in a thread fails again where it is needed, and is reported there. Meanwhile the
    collector of cycles is off: what is loaded stays, and would be looked through again and again.

    Args:
        packaged: whether the packaged embedder is needed, as far as is known.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with ThreadPoolExecutor(2, thread_name_prefix="loading") as pool:
            if packaged:
                pool.submit(_open_embedder)
                pool.submit(_open_languages)
            yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _open_embedder() -> None:
    from ..embedders import embedder

    embedder()


def _open_languages() -> None:
    from ..languages import prepare_languages

    prepare_languages()
