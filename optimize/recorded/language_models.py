"""LMs of the checkout by their specs: those of the program, and recorded ones."""

from typing import Any

import dspy

from optimize.recorded.engine import MOST_ALTERNATIVES, AsyncRecordedEngine, RecordedEngine
from optimize.recorded.rows import read_folder
from optimize.recorded.spec import PREFIX, RecordedSpec, check_spec
from task_delegator import lm


def language_model(spec: str) -> Any:
    """Return the LM that a spec names, one of the program's or a recorded one.

    Raises:
        LMError: the spec is unknown, or what it needs is missing.
        InputError: a recorded LM's folder is missing, or a row of it is broken.
    """
    recorded = spec.partition(":")[0] == PREFIX
    return recorded_lm(spec) if recorded else lm.language_model(spec)


def recorded_lm(spec: str | RecordedSpec) -> dspy.LM:
    """Return an LM that answers from a folder, for ``dspy.context`` or a program's ``lm``.

    Args:
        spec: ``recorded:<folder>`` with options, or the parsed one.

    Raises:
        LMSpecError: an option is unknown.
        InputError: the folder is missing, or a row is broken.
    """
    parsed = check_spec(spec) if isinstance(spec, str) else spec
    files = [
        file for folder in parsed.folders for file in read_folder(folder, parsed.file, parsed.split)
    ]
    engine = RecordedEngine(parsed, files)
    asked = {"logprobs": True, "top_logprobs": MOST_ALTERNATIVES} if parsed.logprobs else {}
    return dspy.LM(
        parsed.model(),
        engine=engine,
        async_engine=AsyncRecordedEngine(engine),
        cache=False,
        **asked,
    )
