"""The engine of ``dspy.LM`` that answers as a hosted provider does, from recorded answers."""

import math
import random
import re
from collections import Counter
from collections.abc import Mapping
from threading import Lock
from typing import Any

from optimize._compat import (
    InvalidRequestError,
    Message,
    Request,
    Response,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from optimize.recorded.prompt import REASONING, Prompt, read_prompt, system_text
from optimize.recorded.rows import Belief, Question, RecordedFile, fold
from optimize.recorded.spec import RecordedSpec

MOST_ALTERNATIVES = 20  # per token, as hosted APIs return
_TOKENS_PER_WORD = 4 / 3  # of English, as providers' rule of thumb has it: no tokenizer is asked
_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+")
_REASONING = "As recorded."
_BELIEFS = ("slot", "slot+ranking")  # kinds of questions that a recorded belief answers
_RANKED = 3  # slots in a ranking


class RecordedEngine:
    """Answer what was recorded, and refuse everything else.

    Args:
        spec: the folder and the options.
        files: what the folder holds.
    """

    def __init__(self, spec: RecordedSpec, files: list[RecordedFile]) -> None:
        self.spec = spec
        self._files = files
        self._asked: Counter[tuple[str, ...]] = Counter()
        self._lock = Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "RecordedEngine":
        """Return itself: copies of an LM draw one sequence of answers."""
        return self

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Leave out the lock and the count of draws."""
        return RecordedEngine, (self.spec, self._files)

    def complete(self, request: Request) -> Response:
        """Answer one request; tokens are counted as 4/3 of the words.

        Raises:
            InvalidRequestError: nothing was recorded for it.
        """
        prompt = read_prompt(request)
        if prompt is None:
            raise self._refusal("no prompt of a DSPy signature")
        if prompt.kind not in _BELIEFS or "candidates" not in prompt.inputs:
            return _response(request, prompt.answer(self._written(prompt)))
        shares = self.shares(prompt)
        if prompt.distribution:
            spread = {slot: shares.get(slot, 0.0) for slot in sorted(prompt.slots)}
            value = {"probabilities": spread, "confidence": max(spread.values())}
            return _response(request, prompt.answer(_reasoned(prompt, {"slot": value})))
        logprobs = _floored(shares, self.spec.unlisted)
        if "ranking" in prompt.outputs:
            slot = next(iter(logprobs))  # a written ranking is led by its answer
            said = {"slot": slot, "ranking": _ranking(shares, list(logprobs))}
        else:
            slot = self._choose(prompt, logprobs, request.config.temperature)
            said = {"slot": slot}
        text = prompt.answer(_reasoned(prompt, said))
        wanted = request.config.logprobs if self.spec.logprobs else None
        if wanted is None:
            return _response(request, text)
        return _response(
            request, text, _tokens(text, slot, logprobs, min(wanted, MOST_ALTERNATIVES))
        )

    def shares(self, prompt: Prompt) -> dict[str, float]:
        """Return the belief by slot, restricted to the shortlist; it sums to 1.

        What the LM gave to agents that are not shown belongs to none. Where the signature has no
        slot for none, the agents' shares are renormalised; they are equal where all are 0.

        Raises:
            InvalidRequestError: nothing was recorded for the task over these agents.
        """
        lines = prompt.candidates
        if not lines:
            raise self._refusal("a prompt whose `candidates` show no agent as 'LETTER) name'")
        belief, agents = self._belief(prompt.inputs.get("task", ""), lines)
        shares = {slot: belief.probabilities.get(name, 0.0) for slot, name in agents.items()}
        shown = math.fsum(shares.values())
        if prompt.none_slot is not None:
            return shares | {prompt.none_slot: max(1.0 - shown, 0.0)}
        if shown == 0:
            return dict.fromkeys(shares, 1 / len(shares))
        return {slot: p / shown for slot, p in shares.items()}

    def _belief(self, task: str, lines: Mapping[str, str]) -> tuple[Belief, dict[str, str]]:
        """Return the belief about a task, and the agent behind each slot."""
        key = fold(task)
        holding = [file for file in self._files if key in file.beliefs]
        if not holding:
            count = sum(len(file.beliefs) for file in self._files)
            raise self._refusal(f"this task, among {count}; see the options file= and split=")
        fitting: dict[str, tuple[Belief, dict[str, str]]] = {}
        for file in holding:
            agents = {slot: file.agent(line) for slot, line in lines.items()}
            belief = file.beliefs[key]
            known = {slot: name for slot, name in agents.items() if name is not None}
            seen = belief.shortlist is None or belief.shortlist >= set(known.values())
            if len(known) == len(agents) and seen:
                fitting[file.name] = belief, known
        names = ", ".join(sorted(fitting) or sorted(file.name for file in holding))
        if not fitting:
            raise self._refusal(f"a recorded task with agents that were not shown ({names})")
        found = list(fitting.values())
        if any(each[0].probabilities != found[0][0].probabilities for each in found):
            raise self._refusal(f"a task with different answers; choose file= of {names}")
        return found[0]

    def _written(self, prompt: Prompt) -> dict[str, Any]:
        task = fold(prompt.inputs.get("task", ""))
        line = prompt.inputs.get("agent", "")
        for file in self._files:
            agent = fold(file.agent(fold(line)) or "") if line else ""
            answer = file.written.get(Question(prompt.kind, task, agent))
            if answer is not None:
                whole = {REASONING: _REASONING, **answer}
                return {name: whole[name] for name in prompt.outputs}
        raise self._refusal(f"a question for {prompt.kind!r}; add rows of this kind")

    def _choose(
        self, prompt: Prompt, logprobs: Mapping[str, float], temperature: float | None
    ) -> str:
        if self.spec.answer == "argmax" or temperature == 0:
            return max(logprobs, key=lambda slot: logprobs[slot])
        key = (fold(prompt.inputs["task"]), *prompt.candidates.values())
        with self._lock:
            turn = self._asked[key]
            self._asked[key] += 1
        # Of the prompt and its turn alone, so that threads do not change what is drawn.
        draw = random.Random(f"{self.spec.seed} {turn} {key}")
        return draw.choices(list(logprobs), [math.exp(p) for p in logprobs.values()])[0]

    def _refusal(self, asked: str) -> InvalidRequestError:
        return InvalidRequestError(f"{self.spec.label} holds no answer to {asked}")


class AsyncRecordedEngine:
    """The same for ``acall``."""

    def __init__(self, engine: RecordedEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        """Answer one request, as ``RecordedEngine.complete`` does."""
        return self._engine.complete(request)


def _floored(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """Return log-probabilities by slot, the likeliest first; none is of 0."""
    raised = {slot: max(p, floor) for slot, p in shares.items()}
    total = math.fsum(raised.values())
    ranked = sorted(raised.items(), key=lambda item: -item[1])
    return {slot: math.log(p / total) for slot, p in ranked}


def _ranking(shares: Mapping[str, float], likeliest: list[str]) -> list[dict[str, Any]]:
    """Return the three likeliest slots as an LM writes them: two digits, and none of 0."""
    written = [(slot, round(shares[slot], 2)) for slot in likeliest[:_RANKED]]
    return [{"slot": slot, "probability": p} for slot, p in written if p > 0]


def _reasoned(prompt: Prompt, said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said.get(name, _REASONING) for name in prompt.outputs}


def _tokens(
    text: str, slot: str, logprobs: Mapping[str, float], most: int
) -> tuple[TokenLogprob, ...]:
    """Return the answer's tokens; the slot's has alternatives, all others are certain."""
    after = text.index("slot") + len("slot")
    start = after + re.search(rf"\b{slot}\b", text[after:]).start()  # type: ignore[union-attr]
    before, rest = _TOKEN.findall(text[:start]), _TOKEN.findall(text[start + 1 :])
    top = [_alternative(each, p) for each, p in list(logprobs.items())[:most]]
    chosen = TokenLogprob(slot, logprobs[slot], tuple(slot.encode()), top=tuple(top))
    return (*map(_certain, before), chosen, *map(_certain, rest))


def _alternative(token: str, logprob: float) -> TopLogprob:
    return TopLogprob(token, logprob, tuple(token.encode()))


def _certain(token: str) -> TokenLogprob:
    return TokenLogprob(token, 0.0, tuple(token.encode()), top=(_alternative(token, 0.0),))


def _response(
    request: Request, text: str, logprobs: tuple[TokenLogprob, ...] | None = None
) -> Response:
    sent = [system_text(request), *(message.text or "" for message in request.messages)]
    return Response(
        id="recorded",
        model=request.model,
        message=Message.assistant(text),
        finish_reason="stop",
        usage=Usage(input_tokens=_count(" ".join(sent)), output_tokens=_count(text)),
        logprobs=logprobs,
    )


def _count(text: str) -> int:
    return math.ceil(len(text.split()) * _TOKENS_PER_WORD)
