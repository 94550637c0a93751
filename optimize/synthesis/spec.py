"""SynthesisSpec: the domains, sizes and call limit of a synthetic dataset."""

import math
from dataclasses import dataclass

from optimize.synthesis.generate import AT_ONCE, split_into_calls
from task_delegator.errors import InputError
from task_delegator.text import fold

_DEFAULT_LIMIT = 3  # times the planned calls: unreadable answers and what filters take


@dataclass(frozen=True, slots=True)
class SynthesisSpec:
    """What is to be synthesized.

    Attributes:
        domains: of work, in plain words.
        agents: per domain.
        requests: per agent, over all splits.
        max_lm_calls: hard limit over all runs of the same output; three times the planned
            calls where None.
        seed: of voices, splits and shuffles; an LM's sampling is its own.
    """

    domains: tuple[str, ...]
    agents: int
    requests: int = 10
    max_lm_calls: int | None = None
    seed: int = 0

    @property
    def planned_calls(self) -> int:
        """LM calls if every answer can be used."""
        each = 1 + len(split_into_calls(self.requests))
        return len(self.domains) * (math.ceil(self.agents / AT_ONCE) + self.agents * each)

    @property
    def call_limit(self) -> int:
        """LM calls at most."""
        return (
            _DEFAULT_LIMIT * self.planned_calls if self.max_lm_calls is None else self.max_lm_calls
        )

    def check(self) -> None:
        """Refuse what cannot be synthesized.

        Raises:
            InputError: it says what.
        """
        if not self.domains or not all(domain.strip() for domain in self.domains):
            raise InputError('--domains: name at least one, such as --domains "accounts payable"')
        if len({fold(domain) for domain in self.domains}) < len(self.domains):
            raise InputError("--domains: one is named twice")
        if self.agents < 2:
            raise InputError(f"--agents {self.agents}: a domain needs at least 2, to tell apart")
        if self.requests < 1:
            raise InputError(f"--requests {self.requests}: an agent needs at least 1")
        if self.call_limit < self.planned_calls:
            raise InputError(
                f"--max-lm-calls {self.call_limit}: {self.planned_calls} are needed; "
                "allow more, or ask for fewer domains, agents or requests"
            )
