"""Every signature of the program: the only file with prompt wording."""

from typing import Literal

import dspy

SLOTS = tuple("ABCDEFGHIJKLMOPQRST")  # one token each; no N, which starts NONE on some models
NONE_SLOT = "Z"
Slot = Literal[
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J",
    "K", "L", "M", "O", "P", "Q", "R", "S", "T", "Z",
]  # fmt: skip


class SelectAgent(dspy.Signature):
    """Choose the agent that should do the task.

    Read what each agent is for, then answer with the letter of the one agent whose
    purpose covers the whole task. Answer Z if none of them fits.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    candidates: str = dspy.InputField(
        desc="one agent per line: LETTER) name - description - example requests"
    )
    slot: Slot = dspy.OutputField(desc="the letter of the agent that fits best, or Z")
