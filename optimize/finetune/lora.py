"""Low-rank adaptation (LoRA; Hu et al., 2021) of the embedded LM, in PyTorch on a CPU.

Needs the extra ``finetune``. The prompts are those of the server, token by token. The
system prompt is constant: it is read once per batch, without gradients, and shared.

One slot per shortlist is a weak signal. A middle layer is therefore also trained to mark, at the
end of each agent's line, whether the agent is acceptable (deep supervision, Lee et al., 2015). This
target does not depend on the slot. A linear probe reads the marks; it is not exported.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from optimize.finetune.checks import installed
from optimize.finetune.shortlists import Shortlist
from task_delegator.errors import InputError
from task_delegator.signatures import NONE_SLOT, SLOTS
from task_delegator.system import replacing

with installed("finetune", "finetune"):
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    peft: Any = import_module("peft")

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_FORM = 0.1  # weight of the answer's other tokens in the loss, which are soon learned
_MARKS = 0.5  # weight of the marks of the lines in the loss
_CLIP = 1.0  # norm of the gradient


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the adapter is trained.

    Attributes:
        first: lowest layer that the adapter changes.
        marked: layer after which a probe is trained to mark the acceptable agent; 0 for none.
        examples: shortlists in all, each seen once.
        rate: of AdamW at its peak; it rises over ``warmup`` steps and falls to 0 as a cosine.
    """

    rank: int = 16
    alpha: int = 32
    first: int = 0
    marked: int = 14
    examples: int = 4000
    batch: int = 4
    rate: float = 1e-3
    decay: float = 0.01
    warmup: int = 20
    seed: int = 0

    @property
    def steps(self) -> int:
        """Steps of the optimizer in all."""
        return math.ceil(self.examples / self.batch)

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


class Tokens:
    """Turn shortlists into the tokens that the server sees.

    Args:
        path: the GGUF file, which holds the vocabulary and the chat template.
    """

    def __init__(self, path: Path) -> None:
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(path.parent), gguf_file=path.name
        )
        self.slots = {slot: self._of(f'{{"slot": "{slot}"}}')[4] for slot in (*SLOTS, NONE_SLOT)}

    def prompt(self, shortlist: Shortlist) -> tuple[list[int], list[int]]:
        """Return the tokens of the system prompt and of the rest, up to where the LM begins."""
        messages = shortlist.messages()
        whole = self._chat(messages, begin=True)
        system = self._chat(messages[:1], begin=False)
        if whole[: len(system)] != system:
            raise InputError("finetune: the chat template does not keep the system prompt apart")
        return system, whole[len(system) :]

    def lines(self, shortlist: Shortlist) -> list[int]:
        """Return where in the rest of the prompt the line of each agent ends."""
        messages = shortlist.messages()
        text = self._text(messages, begin=True)
        place = text.index(messages[1]["content"]) + messages[1]["content"].index(
            candidates := shortlist.inputs()["candidates"]
        )
        ends = []
        for line in candidates.split("\n"):
            place += len(line)
            ends.append(place)  # of the line break
            place += 1
        spans = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        starts = [start for start, _ in spans["offset_mapping"]]
        system = len(self._of(self._text(messages[:1], begin=False)))
        return [bisect_right(starts, end) - 1 - system for end in ends]

    def answer(self, slot: str) -> list[int]:
        """Return the tokens of an answer, its end included; the slot is the fifth."""
        return [*self._of(f'{{"slot": "{slot}"}}'), self._tokenizer.eos_token_id]

    def _chat(self, messages: Sequence[dict[str, str]], begin: bool) -> list[int]:
        return self._of(self._text(messages, begin))

    def _text(self, messages: Sequence[dict[str, str]], begin: bool) -> str:
        return self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=begin
        )

    def _of(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]


class Model:
    """The LM with an adapter, its weights read from the GGUF file that the server loads.

    Args:
        path: the GGUF file.
        recipe: rank and alpha of the adapter, and the seed of its start.
        threads: compute threads.
    """

    def __init__(self, path: Path, recipe: Recipe, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(recipe.seed)
        transformers.utils.logging.disable_progress_bar()
        base = transformers.AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=torch.float32
        )
        config = peft.LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            target_modules=LINEAR,
            layers_to_transform=list(range(recipe.first, base.config.num_hidden_layers)),
        )
        self.tokens = Tokens(path)
        self.config = base.config
        self.network = peft.get_peft_model(base, config)
        self._body, self._head = base.model, base.lm_head
        self.probe = torch.nn.Linear(base.config.hidden_size, 1)
        self._middle: Any = None
        if recipe.marked:
            base.model.layers[recipe.marked - 1].register_forward_hook(self._keep)

    def loss(self, shortlists: Sequence[Shortlist]) -> Any:
        """Return the mean cross-entropy of the slot, and parts of those of the rest.

        The rest: the other tokens of the answer, and the marks of the agents' lines.
        """
        prompts = [self.tokens.prompt(shortlist) for shortlist in shortlists]
        answers = [self.tokens.answer(shortlist.slot) for shortlist in shortlists]
        rests = [[*rest, *answer] for (_, rest), answer in zip(prompts, answers, strict=True)]
        hidden = self._read(prompts[0][0], rests)
        length = len(answers[0])
        rows = torch.arange(len(rests))[:, None]
        ends = torch.tensor([len(rest) for rest in rests])[:, None]
        before = ends - length - 1 + torch.arange(length)[None]  # each predicts the next
        logits = self._head(hidden[rows, before])
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.tensor(answers).flatten(), reduction="none"
        ).view(len(rests), length)
        weights = torch.full((length,), _FORM)
        weights[4] = 1.0
        loss = (losses * weights).sum(dim=1).mean()
        return loss if self._middle is None else loss + _MARKS * self._unmarked(shortlists)

    def beliefs(self, shortlists: Sequence[Shortlist]) -> list[np.ndarray]:
        """Return the probabilities of the offered slots, the none-slot last, per shortlist."""
        prompts = [self.tokens.prompt(shortlist) for shortlist in shortlists]
        opening = self.tokens.answer(NONE_SLOT)[:4]
        rests = [[*rest, *opening] for _, rest in prompts]
        with torch.inference_mode():
            hidden = self._read(prompts[0][0], rests)
            last = torch.tensor([len(rest) - 1 for rest in rests])
            logits = self._head(hidden[torch.arange(len(rests)), last])
        beliefs = []
        for row, shortlist in zip(logits, shortlists, strict=True):
            offered = (*SLOTS[: len(shortlist.agents)], NONE_SLOT)
            chosen = row[[self.tokens.slots[slot] for slot in offered]]
            beliefs.append(torch.softmax(chosen, dim=0).numpy())
        return beliefs

    def _unmarked(self, shortlists: Sequence[Shortlist]) -> Any:
        """Return the mean cross-entropy of the acceptable line; "none of them" has a logit of 0."""
        losses = []
        for hidden, shortlist in zip(self._middle, shortlists, strict=True):
            ends = hidden[self.tokens.lines(shortlist)]
            logits = self.probe(torch.nn.functional.rms_norm(ends, ends.shape[-1:]))[:, 0]
            logits = torch.cat([logits, torch.zeros(1)])
            acceptable = torch.tensor(sorted(shortlist.acceptable) or [len(logits) - 1])
            losses.append(torch.logsumexp(logits, 0) - torch.logsumexp(logits[acceptable], 0))
        return torch.stack(losses).mean()

    def _keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._middle = output

    def trained(self) -> dict[str, Any]:
        """Return the adapter's tensors by name."""
        return {k: v for k, v in self.network.state_dict().items() if "lora_" in k}

    def load(self, tensors: dict[str, Any]) -> None:
        """Take over an adapter's tensors."""
        found = self.network.load_state_dict(tensors, strict=False)
        other = [*found.unexpected_keys, *(key for key in found.missing_keys if "lora_" in key)]
        if other:
            raise InputError(f"finetune: a checkpoint of another adapter, see {other[0]}")

    def parameters(self) -> list[Any]:
        """Return the trained parameters: those of the adapter and the probe."""
        adapter = [p for p in self.network.parameters() if p.requires_grad]
        return [*adapter, *self.probe.parameters()]

    def _read(self, system: list[int], rests: Sequence[list[int]]) -> Any:
        """Return the last hidden states of the rests, shape (rests, longest, width).

        Shorter ones are padded behind, where causal attention does not look.
        """
        cache = transformers.DynamicCache()
        with torch.no_grad():
            self._body(input_ids=torch.tensor([system]), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(rests))
        longest = max(len(rest) for rest in rests)
        padded = torch.tensor([rest + [0] * (longest - len(rest)) for rest in rests])
        return self._body(input_ids=padded, past_key_values=cache, use_cache=True).last_hidden_state


class Trainer:
    """Steps of AdamW over shortlists; its state is all that a later run needs to go on."""

    def __init__(self, model: Model, recipe: Recipe) -> None:
        self.model, self.recipe, self.step = model, recipe, 0
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.rate, weight_decay=recipe.decay
        )

    def train(self, batch: Sequence[Shortlist]) -> float:
        """Take one step; return the loss before it."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        loss = self.model.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write adapter, optimizer and step, replacing the file in one step."""
        state = {
            "step": self.step,
            "adapter": self.model.trained(),
            "probe": self.model.probe.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        with replacing(path) as part:
            torch.save(state, part)

    def load(self, path: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(path, weights_only=True)
        self.model.load(state["adapter"])
        self.model.probe.load_state_dict(state["probe"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])


def batches(
    shortlists: Sequence[Shortlist], size: int, tokens: Tokens
) -> Iterator[list[Shortlist]]:
    """Yield batches in the given order, but of similar length within every eight of them."""
    span = size * 8
    for start in range(0, len(shortlists), span):
        near = sorted(shortlists[start : start + span], key=lambda s: len(tokens.prompt(s)[1]))
        groups = [near[i : i + size] for i in range(0, len(near), size)]
        # Long ones first and last in turn would tie length to the rate: a fixed mixing will do.
        yield from groups[::2] + groups[1::2]
