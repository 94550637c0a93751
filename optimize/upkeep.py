"""Commands that make or tend a dataset or the embedded LM: synthesize, enrich, merge, drift,
finetune.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path


def synthesize(options: argparse.Namespace) -> int:
    """Let an LM write agents and labelled requests for named domains."""
    from optimize.synthesis import Wanted, synthesize
    from task_delegator.embedders import embedder
    from task_delegator.errors import InputError
    from task_delegator.lm import language_model

    wanted = Wanted(
        domains=tuple(" ".join(domain.split()) for domain in options.domains),
        agents=options.agents,
        requests=options.requests,
        max_lm_calls=options.max_lm_calls,
        seed=options.seed,
    )
    wanted.check()
    if options.no_lm:
        raise InputError("synthesize needs an LM: leave out --no-lm")
    lm, embed = language_model(options.lm), embedder(options.embedder)
    limits = f"{wanted.planned} LM calls are needed, at most {wanted.limit} are made"
    print(f"{limits} (--max-lm-calls), those of earlier runs counted", file=sys.stderr)
    report = synthesize(wanted, lm, embed, Path(options.out))
    print(json.dumps(report, indent=1, ensure_ascii=False))
    if not report["requests"]["compilable"]:
        print("too few validation requests to compile for: ask for more", file=sys.stderr)
    print(f"read {options.out} before it is used", file=sys.stderr)
    return 0


def enrich(options: argparse.Namespace) -> int:
    """Let an LM complete the agents of a dataset."""
    from optimize.data import load_dataset
    from optimize.synthesis import enrich_dataset
    from task_delegator.delegator import Delegator
    from task_delegator.embedders import embedder
    from task_delegator.errors import InputError
    from task_delegator.lm import language_model

    if options.no_lm:
        raise InputError("enrich needs an LM: leave out --no-lm")
    dataset = load_dataset(options.data, enriched=False)
    written, dropped = enrich_dataset(
        Delegator(dataset.registry, embedder(options.embedder)),
        dataset,
        language_model(options.lm),
        Path(options.out),
        number=options.number,
        limit=options.max_lm_calls,
    )
    kept = sum(len(addition.user_request_samples) for addition in written.agents.values())
    result = {"agents": len(written.agents), "requests": kept, "dropped": asdict(dropped)}
    print(json.dumps(result, indent=1))
    print(f"review {options.out} before a registry takes it up", file=sys.stderr)
    return 0


def merge(options: argparse.Namespace) -> int:
    """Add recorded outcomes to a dataset."""
    from optimize.data import merge

    print(json.dumps(asdict(merge(options.log, options.data, options.split)), indent=1))
    return 0


def drift(options: argparse.Namespace) -> int:
    """Test whether recorded outcomes still fit the stated confidence; 1 where they do not."""
    from optimize.evaluation import drift

    found = drift(options.log)
    print(json.dumps(asdict(found), indent=1))
    print(found.sentence(), file=sys.stderr)
    return 1 if found.fits is False else 0


def finetune(options: argparse.Namespace) -> int:
    """Fine-tune the embedded LM on shortlists of labelled registries."""
    from optimize.data import load_dataset
    from optimize.finetune import best_state
    from optimize.finetune.lora import Recipe
    from optimize.finetune.train import Plan, finetune, install
    from task_delegator.artifact import find, load
    from task_delegator.lm import ADAPTER, packaged

    train = [load_dataset(path) for path in options.train]
    kept_out = [load_dataset(path) for path in options.keep_out]
    program = load(find(options.program), kept_out[0].registry)
    recipe = Recipe(rank=options.rank, examples=options.examples, seed=options.seed)
    plan = Plan(
        out=Path(options.out),
        base=packaged(),
        recipe=recipe,
        every=options.every,
        threads=options.threads,
    )
    embed = program.retrieve.library.embed
    manifest = finetune(train, kept_out, program.knobs.values, embed, plan)
    if options.install:
        install(plan.out, Path(options.install))
    best = manifest["course"][best_state(manifest["course"])]
    print(json.dumps({"adapter": str(plan.out / ADAPTER), "best": best}, indent=1))
    return 0
