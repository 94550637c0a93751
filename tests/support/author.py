"""An LM that writes a dataset as it is told, and a synthesis with it."""

import json
import re

from recorded import recorded_lm
from small import HashedWords

from optimize.synthesis import pipeline as synthesize
from optimize.synthesis.spec import SynthesisSpec

WANTED = SynthesisSpec(domains=("accounts payable", "fleet"), agents=3, requests=4)
CALLS = 2 * (1 + 3 + 3 * 2)  # per domain an outline, per agent an entry and two voices
SUBJECTS = (
    "invoices suppliers approval", "payments bank transfer", "expenses receipts refund",
    "vans repair workshop", "fuel cards petrol", "drivers licence renewal",
)  # fmt: skip
FRESH = ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "juniper"]


def field(prompt, name):
    """What a prompt says in its last field of this name."""
    return re.findall(rf"\[\[ ## {name} ## \]\]\n(.*?)(?=\n+\[\[|\n+Respond)", prompt, re.DOTALL)[
        -1
    ]


class Author:
    """Answer as an LM that follows its instructions, the same prompt always alike."""

    def __call__(self, prompt):
        if "`agents`" in prompt:
            return self.outline(prompt)
        if "`entry`" in prompt:
            return self.entry(prompt)
        if "`requests`" in prompt:
            return self.requests(prompt)
        return json.dumps({"slot": "A"})

    def outline(self, prompt):
        mine = SUBJECTS[:3] if "payable" in field(prompt, "domain") else SUBJECTS[3:]
        fresh = [s for s in mine if s not in field(prompt, "known")]
        rows = [{"name": f"{s.split()[0].title()} Desk", "scope": s} for s in fresh]
        return json.dumps({"agents": rows[: int(field(prompt, "number"))]})

    def entry(self, prompt):
        subject = field(prompt, "agent").split(": ")[1]
        samples = [f"{word} {subject} {word}s" for word in FRESH[:5]]
        about = {"description": subject, "instructions": "be exact", "tools": ["a.b"]}
        return json.dumps({"entry": {**about, "samples": samples}})

    def requests(self, prompt):
        _, subject, *_ = field(prompt, "agent").split(" - ")
        voice = field(prompt, "voice")
        seed = sum(map(ord, voice)) % 1000
        wanted = int(field(prompt, "number"))
        return json.dumps(
            {
                "requests": [
                    f"{subject} {voice.split()[-1]}{seed + i} case{i} of{seed}"
                    for i in range(wanted)
                ]
            }
        )


def written(tmp_path, answer=None, wanted=WANTED, name="out"):
    lm, engine = recorded_lm(answer or Author())
    return synthesize.synthesize(wanted, lm, HashedWords(), tmp_path / name), engine


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
