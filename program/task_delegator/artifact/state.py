"""Check the state and the scores of a compiled program before they are used.

A program is untrusted data. Prompts, plain demos, numbers and learned
samples are taken; whatever could name a server, an LM or a class is refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional, Protocol

import dspy
import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ..decision import Sample, Target
from ..errors import InputError, ProgramError
from ..knobs import Knobs, KnobValues, LearnedSamples
from ..registry import AGENT_CHARACTERS
from ..system import read_json
from ..text import longest_form, marks_content
from .format3 import read_format3

MANIFEST = "manifest.json"
FORMAT = 4
READABLE = (3, FORMAT)
_SINCE = ("classify.rank", "classify.explain")  # predictors that format 3 did not have
_DEMO_MARKS = {"augmented"}  # what DSPy's optimizers add to the fields of a demo
_Nothing = Annotated[list[Any], Field(max_length=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Field(_Part):
    prefix: str
    description: str


class _Signature(_Part):
    instructions: str
    fields: list[_Field]


class _Predictor(_Part):
    signature: _Signature
    demos: list[dict[str, JsonValue]]
    traces: _Nothing = []
    train: _Nothing = []
    lm: None = None


class _Metadata(_Part):
    dependency_versions: dict[str, str] = {}


_Confidence = Annotated[float, Field(ge=0.0, le=1.0)]
_MOST_REQUESTS = 10**7  # that a manifest counts: a row of memory each


class ValidationScores(BaseModel):
    """Labeled requests as a manifest records them, to choose a threshold from.

    Attributes:
        confidences: of the first place, 0..1, of requests that some agent fits.
        right: whether it was right, in the same order.
        accepted: whether some agent seemed to fit, so that a threshold may assign it; None for all.
        out_of_scope: confidences of requests that no agent fits, but seemed to.
        n_out_of_scope: requests that no agent fits; None where nobody counted them.
        unasked: where these are of requests that an LM was asked about, the scores of the others.
        with_lm: the same where an LM was heard; None where none was.
    """

    model_config = ConfigDict(frozen=True)

    confidences: list[_Confidence]
    right: list[bool]
    accepted: list[bool] | None = None
    out_of_scope: list[_Confidence] = []
    n_out_of_scope: Annotated[int, Field(ge=0, le=_MOST_REQUESTS)] | None = None
    unasked: Optional["ValidationScores"] = None
    with_lm: Optional["ValidationScores"] = None

    @model_validator(mode="after")
    def _one_outcome_each(self) -> "ValidationScores":
        if len(self.confidences) != len(self.right):
            raise ValueError("there must be as many right as confidences")
        if self.accepted is not None and len(self.accepted) != len(self.right):
            raise ValueError("there must be as many accepted as confidences")
        if self.n_out_of_scope is not None and self.n_out_of_scope < len(self.out_of_scope):
            raise ValueError("n_out_of_scope must be at least the number out_of_scope")
        return self

    def sample(self, alone: float | None = None) -> Sample:
        """Return the confidences to choose a threshold from.

        Args:
            alone: threshold of the requests that no LM was asked about; None assigns none of them.
        """
        confidences = np.array(self.confidences, dtype=float)
        if self.accepted is not None:
            confidences[~np.array(self.accepted, dtype=bool)] = -np.inf
        outside = np.full(self.n_out_of_scope or 0, -np.inf)
        if self.n_out_of_scope is not None:
            outside[: len(self.out_of_scope)] = self.out_of_scope
        if self.unasked is None:
            return Sample.of(confidences, self.right, outside)
        others, least = self.unasked.sample(), np.inf if alone is None else alone
        return Sample.of(
            [*confidences, *np.where(others.confidences >= least, np.inf, -np.inf)],
            [*self.right, *others.right],
            [*outside, *np.where(others.out_of_scope >= least, np.inf, -np.inf)],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the scores as plain JSON values, numbers short."""
        kept = self.model_dump(exclude={"unasked", "with_lm"}, exclude_none=True)
        for name in ("confidences", "out_of_scope"):
            kept[name] = [round(confidence, 6) for confidence in kept[name]]
        return kept if self.unasked is None else kept | {"unasked": self.unasked.to_json()}


class Program(Protocol):
    """A module whose state is read: names and parameters, as ``dspy.Module`` has them."""

    def named_parameters(self) -> list[tuple[str, Any]]:
        """Return every parameter by name."""
        ...


def read_state(path: Path, program: Program, written: int = FORMAT) -> dict[str, Any]:
    """Return the state of a compiled program, checked part by part.

    Args:
        path: of ``program.json``.
        program: that shall take the state over.
        written: the format of the file, 3 or 4.

    Raises:
        ProgramError: the file is unreadable, or holds anything but what a program of these
            signatures consists of; one line that names the place in the file.
    """
    try:
        state = read_json(path)
    except InputError as error:
        raise ProgramError(str(error)) from error
    if not isinstance(state, dict):
        raise ProgramError(f"{path}: must hold an object; compile the program again")
    parameters = dict(program.named_parameters())
    if written == 3:
        state = {name: parameters[name].dump_state() for name in _SINCE} | state
    odd = sorted((set(state) - {"metadata"}) ^ set(parameters))
    if odd:
        raise ProgramError(
            f"{path}: {odd[0]!r} is {'unknown' if odd[0] in state else 'missing'}; "
            "compile the program again"
        )
    checked = {}
    for name, parameter in parameters.items():
        try:
            checked[name] = _checked(state[name], parameter, written)
        except ValidationError as error:
            raise ProgramError(f"{path}: {_first_fault(error, name)}") from error
        except ValueError as error:
            raise ProgramError(f"{path}: {name}: {_one_line(str(error))}") from error
    if "metadata" in state:
        try:
            checked["metadata"] = _Metadata.model_validate(state["metadata"]).model_dump()
        except ValidationError as error:
            raise ProgramError(f"{path}: metadata: only dependency_versions are read") from error
    return checked


def check_predictor(state: Any, predictor: Any, place: str) -> dict[str, Any]:
    """Return the state of one predictor, checked as that of a program's file.

    Raises:
        ProgramError: it holds anything else; one line that begins with ``place``.
    """
    try:
        return _checked(state, predictor, FORMAT)
    except ValidationError as error:
        raise ProgramError(f"{place}: {_first_fault(error)}") from error
    except ValueError as error:
        raise ProgramError(f"{place}: {_one_line(str(error))}") from error


def read_scores(value: Any, place: str) -> ValidationScores:
    """Return the validation scores of a manifest.

    Args:
        value: what the manifest holds.
        place: file and key, for messages.

    Raises:
        ProgramError: they are no such scores; one line that names the place.
    """
    try:
        return ValidationScores.model_validate(value)
    except ValidationError as error:
        raise ProgramError(_first_fault(error, place)) from error


def read_target(value: Any, place: str) -> Target:
    """Return the target that a manifest's threshold was chosen for; what it lacks is the default.

    Args:
        value: a calibration as the manifest holds it, with its ``promise``.
        place: file and key, for messages.

    Raises:
        ProgramError: a number is none, or out of its range; one line that names the place.
    """
    promise = value.get("promise") or {}
    names = {"target": "precision", "out_of_scope_share": "out_of_scope_share", "delta": "delta"}
    try:
        given = TypeAdapter(dict[str, JsonValue]).validate_python(promise)
        numbers = {own: given[name] for name, own in names.items() if name in given}
        return Target(**TypeAdapter(dict[str, float]).validate_python(numbers, strict=True))
    except (ValidationError, InputError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ProgramError(f"{place}.promise: {_one_line(said)}") from error


def _first_fault(error: ValidationError, *within: str) -> str:
    """Return where the first fault is, and what is wrong there, on one line."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, (*within, *first['loc'])))}: {_one_line(first['msg'])}"


def _checked(state: Any, parameter: Any, written: int) -> dict[str, Any]:
    """Return the state of one parameter, without what it must not hold.

    Raises:
        ValueError: it holds something else.
    """
    if isinstance(parameter, dspy.Predict):
        found = _Predictor.model_validate(state)
        _check_fields(found, parameter)
        return found.model_dump()
    if isinstance(parameter, Knobs):
        groups = TypeAdapter(dict[str, Any]).validate_python(state)
        values = read_format3(groups) if written == 3 else KnobValues.read(groups)
        return values.model_dump()
    if isinstance(parameter, LearnedSamples):
        samples = TypeAdapter(dict[str, list[str]]).validate_python(state, strict=True)
        for texts in samples.values():
            if sum(map(longest_form, texts)) > AGENT_CHARACTERS:
                raise ValueError(
                    f"an agent has samples of more than {AGENT_CHARACTERS:,} characters"
                )
        return samples
    raise ValueError(f"a parameter of type {type(parameter).__name__} cannot be loaded")


def _check_fields(found: _Predictor, predict: dspy.Predict) -> None:
    fields: Mapping[str, Any] = predict.signature.fields  # type: ignore[union-attr]
    if len(found.signature.fields) != len(fields):
        raise ValueError(f"signature.fields: must be {len(fields)}")
    known = set(fields) | _DEMO_MARKS
    for number, demo in enumerate(found.demos):
        odd = sorted(set(demo) - known)
        if odd:
            raise ValueError(f"demos.{number}.{odd[0]}: is no field of the signature")
        # Of any value, as DSPy writes it into the prompt.
        if marks_content(json.dumps(demo, ensure_ascii=False)):
            raise ValueError(f"demos.{number}: marks an image or a file; only texts are read")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
