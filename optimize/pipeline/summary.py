"""What a compilation says of its result: a table, the LM's gain, a message with its prompts."""

from collections import Counter
from collections.abc import Mapping

from optimize.data import Dataset
from optimize.evaluation import Report
from optimize.lm_stage import LMStageResult


def summary(reports: Mapping[str, Report]) -> str:
    """Return a markdown table of the reports."""
    lines = ["| | n | top-1 | 95 % | top-3 | LM calls per task |", "|---|---|---|---|---|---|"]
    for name, r in reports.items():
        low, high = r.top1_ci95
        lines.append(
            f"| {name} | {r.n} | {r.top1:.1%} | {low:.1%} to {high:.1%} | {r.top3:.1%} "
            f"| {r.lm_calls_per_task:.2f} |"
        )
    return "\n".join(lines)


def train_use(dataset: Dataset, per_agent: int) -> str:
    """Return in a line what the train requests are used for.

    Args:
        dataset: whose requests they are.
        per_agent: how many of each agent become samples of the program.
    """
    counts = Counter(request.expected for request in dataset.splits["train"])
    samples = sum(min(count, per_agent) for count in counts.values())
    rest = counts.total() - samples
    told = (
        f"train requests: {samples} are samples of the program, {rest} only find starting weights"
    )
    if not rest:
        return told
    return f"{told} and, with an LM, demos: --samples-from-train {max(counts.values())} uses all"


def lm_gain(reports: Mapping[str, Report]) -> list[str]:
    """Return what the LM brought on the test split, a line, or none where it was not asked."""
    given = reports.get("test_lm")
    if given is None or given.versus_no_lm is None or not given.tokens_per_task:
        return []
    points = 100 * given.versus_no_lm["difference"]
    return [
        f"The LM, asked {given.lm_calls_per_task:.2f} times per task: {points:+.1f} points of "
        f"top-1 on test (n {given.n}), {points / (given.tokens_per_task / 1000):+.1f} points per "
        f"1,000 tokens of each task."
    ]


def lm_left_out(found: LMStageResult | None) -> list[str]:
    """Return why a program asks no LM although one was tried, a line, or none."""
    if found is None or found.weight:
        return []
    if found.gain is None:
        return [f"The LM is not asked: {found.asked} validation requests are too few to measure it"]
    mean, error = found.gain
    return [
        f"The LM is not asked: it adds {mean:+.3f} (standard error {error:.3f}) to the "
        f"log-likelihood of the right agent, n {found.asked} validation requests; a program hears "
        "an LM from two standard errors on"
    ]


def prompt_message(dataset: Dataset, found: LMStageResult | None) -> str:
    """Return the commit message of the prompts that a compilation changed."""
    if found is None or found.gain is None:
        return f"compiled on {dataset.path.name}"
    mean, error = found.gain
    return (
        f"{found.optimizer or 'no optimizer'} on {dataset.path.name}: the LM adds {mean:+.3f} "
        f"(standard error {error:.3f}) to the log-likelihood of the right agent, cross-validated "
        f"on {found.asked} validation requests, {found.demos} demos"
    )
