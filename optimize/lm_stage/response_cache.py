"""Answers of an LM, kept as they come in an append-only file, so that none is paid for twice."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from task_delegator.errors import InputError
from task_delegator.stages import UnreadableError, asking
from task_delegator.system import append_line, cut_unfinished_line, hold, sha256_text

ATTEMPTS = 3  # answers to one question before it counts as one that the LM cannot answer
_MOST_TOKENS = 900  # of an answer: what a small LM on a few cores writes before the call times out
_TEMPERATURE = 0.8  # a second attempt shall differ from the first


class ResponseCache:
    """A JSONL file of answers, one per line, which one process at a time adds to.

    A line that a killed process left half-written is dropped.

    Args:
        path: the file; made where it is missing.
        limit: of answers that the file may hold in the end; a hard one.

    Raises:
        InputError: another process works with the file, or it cannot be used.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        try:
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error
        hold(self._file, f"{path}: another run writes there; wait for its end")
        cut_unfinished_line(self._file)
        self._file.seek(0)
        try:
            rows = [json.loads(line) for line in self._file.read().decode().split("\n") if line]
            self._rows: dict[str, dict[str, Any]] = {row["call"]: row for row in rows}
        except (ValueError, KeyError, TypeError) as error:
            self._file.close()
            raise InputError(f"{path}: is no file of LM answers; name another --out") from error
        self.before = len(self._rows)

    def __enter__(self) -> "ResponseCache":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, which lets others in."""
        self._file.close()

    @property
    def room(self) -> int:
        """How many answers may still be asked for."""
        return max(self.limit - len(self._rows), 0)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return answers, and those of them that could not be read, by stage."""
        rows = self._rows.values()
        read = Counter(row["stage"] for row in rows)
        lost = Counter(row["stage"] for row in rows if row["answer"] is None)
        return {stage: {"calls": read[stage], "unreadable": lost[stage]} for stage in read}

    def get(
        self, stage: str, question: Mapping[str, Any], ask: Callable[[], dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Return the row of a question; what was not answered before is asked, once.

        Args:
            question: everything that the answer depends on; plain JSON.
            ask: returns ``answer``, plain JSON or None where it could not be read.

        Returns:
            The row with ``call`` (16 hexadecimal digits), or None where the limit is reached.
        """
        text = json.dumps([stage, question], sort_keys=True)
        call = sha256_text(text)[:16]
        if call not in self._rows:
            if not self.room:
                return None
            row = {"call": call, "stage": stage, **ask()}
            append_line(self._file, json.dumps(row, ensure_ascii=False).encode(), durable=True)
            self._rows[call] = row
        return self._rows[call]


class CachedPredict(dspy.Module):
    """Ask a signature, at most ``ATTEMPTS`` times where the answer cannot be read.

    Args:
        stage: what to call the question in the file.
        signature: the question.
        answers: where answers are kept.
    """

    def __init__(self, stage: str, signature: type[dspy.Signature], answers: ResponseCache) -> None:
        super().__init__()
        self.predict = dspy.Predict(signature)
        self.stage = stage
        self.answers = answers
        self._adapter = WholeAnswers()

    def forward(self, turn: Any = 0, **inputs: Any) -> dspy.Prediction:
        """Return the ``answer`` (field by field, None where there is none), its ``call``, and
        whether it was ``refused`` because the limit is reached.

        Args:
            turn: tells a question from the same one asked again; plain JSON.
            inputs: of the signature.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        signature: Any = self.predict.signature
        kinds = {n: TypeAdapter(f.annotation) for n, f in signature.output_fields.items()}
        asked = {
            "instructions": signature.instructions,
            "fields": {n: f.json_schema_extra["desc"] for n, f in signature.fields.items()},
            "schemas": {n: kind.json_schema() for n, kind in kinds.items()},
            "inputs": inputs,
            "turn": turn,
        }
        call = None
        for attempt in range(ATTEMPTS):
            question = {**asked, "attempt": attempt}
            row = self.answers.get(self.stage, question, lambda: self._ask(inputs))
            if row is None:
                return dspy.Prediction(answer=None, call=call, refused=True)
            call = row["call"]
            if row["answer"] is not None:
                answer = {n: kind.validate_python(row["answer"][n]) for n, kind in kinds.items()}
                return dspy.Prediction(answer=answer, call=call, refused=False)
        return dspy.Prediction(answer=None, call=call, refused=False)

    def _ask(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with asking(self._adapter):
                found = self.predict(**inputs, config=_settings(dspy.settings.lm))
        except UnreadableError as error:
            return {"answer": None, "unreadable": error.answer}
        signature: Any = self.predict.signature
        return {
            "answer": to_jsonable_python({name: found[name] for name in signature.output_fields})
        }


class WholeAnswers(dspy.JSONAdapter):
    """Refuse an answer that was cut off, which JSON repair would close in mid-sentence."""

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Return the answer's fields.

        Raises:
            AdapterParseError: it cannot be read, or something stands open after the last brace.
        """
        _, closed, rest = completion.rpartition("}")
        if not closed or '"' in rest:
            raise AdapterParseError(
                adapter_name=type(self).__name__,
                signature=signature,
                lm_response=completion,
                message="The answer was cut off.",
            )
        return super().parse(signature, completion)


def _settings(lm: Any) -> dict[str, Any]:
    """Return the settings of a call; LMs that reason first take none of them."""
    if lm.supports_reasoning:
        return {}
    return {"temperature": _TEMPERATURE, "max_tokens": _MOST_TOKENS}
