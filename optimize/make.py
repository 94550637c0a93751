"""Commands that make programs and judge them: compile, search, evaluate."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any


def compile_(options: argparse.Namespace) -> int:
    """Compile a program for a dataset."""
    from optimize.config import Options
    from optimize.data import load_dataset
    from optimize.pipeline import compile_program, summary
    from task_delegator.artifact import check_target
    from task_delegator.lm import language_model

    check_target(Path(options.out))
    dataset = load_dataset(options.data, enriched=options.enriched)
    lm = None if options.no_lm else language_model(options.lm)
    compiled = compile_program(
        dataset,
        Options(
            out=Path(options.out),
            preset=options.preset,
            optimizer=options.optimizer,
            teacher=options.teacher,
            trials=options.trials,
            max_lm_calls=options.max_lm_calls,
            samples_from_train=options.samples_from_train,
            target_precision=options.target_precision,
            embedder=options.embedder,
            lm=None if options.no_lm else options.lm,
            seed=options.seed,
            traces=options.traces,
            trace_texts=options.trace_texts,
        ),
        lm,
        language_model(options.teacher) if options.teacher else None,
    )
    print(summary(compiled.reports))
    print(f"program: {compiled.folder}", file=sys.stderr)
    print(f"MLflow run: {compiled.run_id} (make ui)", file=sys.stderr)
    return 0


def search(options: argparse.Namespace) -> int:
    """Search the retrieval knobs alone."""
    from optimize.checkpoint import digest_of, identity_of
    from optimize.data import load_dataset
    from optimize.search import Place, ScoredRequests, measure, search
    from task_delegator.embedders import embedder
    from task_delegator.errors import InputError
    from task_delegator.knobs import KnobValues
    from task_delegator.retrieval import Library

    dataset = load_dataset(options.data, enriched=options.enriched)
    if not dataset.splits["validation"]:
        raise InputError(f"{dataset.path}: no validation requests; search needs them")
    index = Library(dataset.registry, embedder(options.embedder)).index({})
    scored = ScoredRequests(index, dataset.splits["validation"])
    start = KnobValues()
    identity = identity_of(dataset, embedder=index.embed.id, knobs=asdict(start))
    place = Place(options.study, options.storage, digest_of(identity))
    knobs, trials = search(scored, [start], trials=options.trials, seed=options.seed, place=place)
    chosen = measure(scored, knobs)
    result = {"trials": len(trials), "chosen": chosen.metrics(), "knobs": asdict(chosen.knobs)}
    print(json.dumps(result, indent=1))
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate a program on a split, or compare two."""
    from optimize.data import load_dataset
    from optimize.evaluation import evaluate, versus
    from optimize.lm_stage import opened
    from task_delegator.artifact import load
    from task_delegator.errors import InputError
    from task_delegator.files import write_text
    from task_delegator.lm import language_model

    if options.gate_open and options.no_lm:
        raise InputError("--gate-open asks the LM about every task: leave out --no-lm")
    dataset = load_dataset(options.data, enriched=options.enriched)
    programs = [
        (name, load(name, dataset.registry, embedder=options.embedder))
        for name in (options.program, options.other)
        if name is not None
    ]
    if options.gate_open:
        programs = [(name, opened(program)) for name, program in programs]
    lm = None if options.no_lm else language_model(options.lm)
    settings: dict[str, Any] = {"lm": lm, "limit": options.limit, "seed": options.seed}
    if len(programs) == 2:
        found = versus(programs, dataset, options.split, **settings)
    else:
        ((name, program),) = programs
        found = evaluate(program, dataset, options.split, name=name, **settings)
    text = json.dumps(found.to_dict(), indent=1)
    if options.json == "-":
        print(text)
        return 0
    if options.json:
        write_text(Path(options.json), text + "\n")
    print(found.sentence())
    return 0
