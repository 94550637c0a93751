"""A predictor's prompt as one text, that people read, compare, edit and give back to ``load``.

The text is the instructions and then each demo, field by field under the headings that DSPy's
adapters write. ``optimize compile`` registers these texts as prompts in MLflow.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from ..errors import ProgramError
from ..system import read_mlflow
from ..text import one_line
from .state import check_predictor

PROMPTS = "prompts:/"
_AS_JSON = " as JSON"  # behind the heading of a value that is no plain text
_DEMO = re.compile(r"^\[\[ ## demo \d+ ## \]\]$", re.MULTILINE)
_FIELD = re.compile(rf"^\[\[ ## (\S+) ## \]\]({_AS_JSON})?$", re.MULTILINE)


def prompt_texts(program: dspy.Module) -> dict[str, str]:
    """Return the prompt of every predictor of a program, by the predictor's name."""
    predictors: list[tuple[str, Any]] = program.named_predictors()
    return {name: write_prompt(one.signature.instructions, one.demos) for name, one in predictors}


def write_prompt(instructions: str, demos: Sequence[Mapping[str, Any]]) -> str:
    """Return a prompt as one text."""
    blocks = [instructions]
    for number, demo in enumerate(demos, 1):
        blocks.append(f"[[ ## demo {number} ## ]]")
        blocks += [_written(name, value) for name, value in dict(demo).items()]
    return "\n\n".join(blocks)


def _written(name: str, value: Any) -> str:
    heading = f"[[ ## {name} ## ]]"
    headed = isinstance(value, str) and (_DEMO.search(value) or _FIELD.search(value))
    if not isinstance(value, str) or headed or "\r" in value:
        return f"{heading}{_AS_JSON}\n{json.dumps(value, ensure_ascii=False)}"
    return f"{heading}\n{value}"


def read_prompt(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the instructions and demos of a text.

    Raises:
        ValueError: a value that is said to be JSON is none.
        RecursionError: it is nested too deeply.
    """
    instructions, *demos = _DEMO.split(text.replace("\r\n", "\n") + "\n\n")
    return instructions[:-2], [_fields(demo) for demo in demos]


def _fields(demo: str) -> dict[str, Any]:
    """Return the fields of a demo; two line ends follow each value."""
    parts = _FIELD.split(demo)[1:]
    fields = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    plain = [(name, kind, value.removeprefix("\n")[:-2]) for name, kind, value in fields]
    return {name: json.loads(value) if kind else value for name, kind, value in plain}


def set_prompts(program: dspy.Module, uris: Sequence[str]) -> None:
    """Give predictors the prompts that MLflow holds under these names; the last one wins.

    Args:
        program: each prompt's name ends with a dot and the name of one of its predictors.
        uris: such as ``prompts:/delegator.classify.select@champion`` or ``.../3``.

    Raises:
        ProgramError: there is no such prompt or predictor, or the prompt does not fit it.
    """
    predictors = dict(program.named_predictors())
    for uri in uris:
        named = uri.removeprefix(PROMPTS).partition("@")[0].partition("/")[0]
        fitting = [name for name in predictors if f".{named}".endswith(f".{name}")]
        if not uri.startswith(PROMPTS) or not fitting:
            raise ProgramError(
                f"{one_line(uri)[:200]}: names no prompt of this program; give "
                f"{PROMPTS}NAME.PREDICTOR@ALIAS or /VERSION, PREDICTOR one of "
                + ", ".join(sorted(predictors))
            )
        name = max(fitting, key=len)
        _set_prompt(predictors[name], _downloaded(uri), uri)


def _set_prompt(predictor: Any, text: str, uri: str) -> None:
    state = predictor.dump_state()
    try:
        instructions, demos = read_prompt(text)
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"{uri}: a demo is no JSON: {one_line(str(error))}") from error
    state |= {"signature": state["signature"] | {"instructions": instructions}, "demos": demos}
    predictor.load_state(check_predictor(state, predictor, uri))


def _downloaded(uri: str) -> str:
    """Return the text of a prompt in MLflow's registry.

    Raises:
        ProgramError: MLflow is not installed, or has no such prompt, or it is no text.
    """

    def download(mlflow: Any) -> Any:
        return mlflow.genai.load_prompt(uri, link_to_model=False, cache_ttl_seconds=0).template

    template = read_mlflow(uri, download, ProgramError)
    if not isinstance(template, str):
        raise ProgramError(f"{uri}: is a chat prompt; only texts are read")
    return template
