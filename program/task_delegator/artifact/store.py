"""Save and load compiled programs: a folder with ``program.json`` and ``manifest.json``.

``program.json`` is DSPy state: prompts, demos, knobs and learned samples, without LM and
without pickle. ``manifest.json`` records what the program was compiled from, and its scores.
"""

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast

import dspy
from pydantic import TypeAdapter

from .._compat import clear_compiled
from ..calibration import CalibratedAgents
from ..decision import Target, choose_threshold
from ..delegator import Delegator
from ..embedders import Embedder
from ..errors import InputError, ProgramError
from ..lm import check_spec
from ..registry import Registry, load_enriched
from ..rerankers import Reranker
from ..rerankers import reranker as reranker_of
from ..settings import TIMEOUT, LMFailurePolicy
from ..signatures import (
    DescribeIdealAgent,
    ExplainAgents,
    RankAgents,
    RateAssignment,
    RephraseTask,
    SelectAgent,
    SplitTask,
    WeighAgents,
)
from ..system import is_file, read_json, read_mlflow, replacing_folder, sha256_text
from .models import check_reranker, embedder_of, names_reranker
from .on_load import (
    calibrate_as_asked,
    decides_instead,
    few_strangers,
    tell_foreign,
    tell_unasked,
    tell_uncalibrated,
)
from .prompt_text import set_prompts
from .state import FORMAT, MANIFEST, READABLE, read_scores, read_state, read_target

_log = logging.getLogger(__name__)

SHIPPED = Path(str(files("task_delegator"))) / "compiled"  # programs by name
PROGRAM = "program.json"
AGENTS = "agents.json"  # in the same folder of a registered model: the agents it serves
_REGISTERED = "models:/"
_FORMAT3_SIGNATURES = (
    SelectAgent,
    WeighAgents,
    RephraseTask,
    DescribeIdealAgent,
    SplitTask,
    RateAssignment,
)
_SIGNATURES = (*_FORMAT3_SIGNATURES, RankAgents, ExplainAgents)


def load(
    program: str | Path,
    registry: Registry | str | Path,
    *,
    lm: str | dspy.BaseLM | None = None,
    embedder: str | Embedder | None = None,
    reranker: str | Reranker | None = None,
    allow_uncalibrated: bool = False,
    calibrate: Literal["self", "transfer"] | None = None,
    written: Collection[str] | None = None,
    target_precision: float | None = None,
    out_of_scope_share: float | None = None,
    on_lm_failure: LMFailurePolicy = "degrade",
    timeout: float | None = TIMEOUT,
    max_lm_share: float | None = None,
    prompts: Sequence[str] = (),
) -> Delegator:
    """Load a compiled program for the agents of a registry.

    Long because each option says what it does.

    Args:
        program: the name of a program that ships (``default``), the folder of a program, or a
            registered model (``models:/delegator@champion``; extra ``mlflow``).
        registry: the agents, or a JSON file of agents. If ``enrichment.json`` lies next to the
            file, it is applied. The registry may differ from the one the program was compiled
            for.
        lm: the LM, or its spec. If None, ``dspy.settings.lm`` is used; if that is None too, no
            LM is used.
        embedder: the embedder, or its spec. If None, the one the program was compiled with.
        reranker: the reranker, or its spec: that of the program, where it uses one.
        allow_uncalibrated: assign tasks even if the confidence is not calibrated for this
            registry. ``none`` is not said then: that scale means nothing for other agents.
        calibrate: ``self`` calibrates the confidence on the agents' own samples, without a labeled
            request, and keeps the result in the user's cache. ``transfer`` assigns, and says
            ``none``, by what other registries showed. With either, an LM is asked about what would
            not be assigned, and taken at its word (not the packaged one). Without one, where there
            are too few samples, or the registry is of another size than those, a warning says so
            and every task is reviewed.
        written: samples that people wrote, to calibrate on. If None, those of the registry's file
            without its enrichment; of a registry that is no file, all.
        target_precision: the precision to aim at of everything that is assigned, in (0, 1]. The
            thresholds are chosen from the validation scores in the manifest. If None, the
            program's own.
        out_of_scope_share: the share of requests that no agent fits, in [0, 1), at which that
            precision shall hold. If None, the program's own.
        on_lm_failure: what to do if the LM is needed and fails: ``degrade`` to retrieval's own
            decision, marked in the evidence, or ``raise``.
        timeout: seconds for all LM calls of one task, from the first on. If None, no limit.
        max_lm_share: of the tasks, 0..1, the LM is asked about at most; those below the gate
            beyond it are delegated without it. If None, no cap.
        prompts: prompts of MLflow's registry to try in place of the program's own, such as
            ``prompts:/delegator.classify.select@champion`` (extra ``mlflow``). The confidence
            stays the one that was fitted with the program's own prompts.

    Raises:
        ProgramError: the program is missing, has another format, other signatures, another
            embedder or another reranker, or holds no validation scores.
        InputError: the registry is empty, its file is unusable, or a precision or share to aim at
            is out of its range.
        LMError: the LM spec is unusable.
        TypeError: the program is no name, or the registry is no registry, such as a list of agents.
        ValueError: ``on_lm_failure``, ``timeout`` or ``max_lm_share`` is no such word or number.
    """
    _check_kinds(program, registry)
    folder = find(program)
    manifest = read_manifest(folder)
    embed, held = embedder_of(embedder, manifest, folder), manifest["registry"]
    if isinstance(lm, str):
        check_spec(lm)
    calibrated_for = CalibratedAgents(
        frozenset(held["calibrated"]),
        held.get("calibrated_by", "labels"),
        trusted=allow_uncalibrated,
        transfer=calibrate == "transfer",
    )
    reread = None if reranker is None else reranker_of(reranker)
    settings = (on_lm_failure, timeout, max_lm_share, reread)
    delegator = Delegator(_agents(registry), embed, lm, calibrated_for, *settings)
    delegator.load_state(read_state(folder / PROGRAM, delegator, manifest["format"]))
    delegator.knobs.brought_along = False  # the manifest says whom it was calibrated for
    check_reranker(delegator, manifest, folder)
    set_prompts(delegator, prompts)
    aims = target_precision, out_of_scope_share
    on_samples = calibrate_as_asked(delegator, calibrate, written, registry, *aims)
    tell_foreign(delegator)
    if lm is not None:
        tell_unasked(delegator, _compiled_with(manifest))
    if not delegator.calibrated():
        digest, whom = delegator.registry.sha256(), few_strangers(delegator)
        tell_uncalibrated(folder.name, digest, whom, decides_instead(delegator))
    if (target_precision is not None or out_of_scope_share is not None) and not on_samples:
        _aim(delegator, folder, manifest, target_precision, out_of_scope_share)
    return delegator


def _compiled_with(manifest: dict[str, Any]) -> str | None:
    """Return the model of the LM that a program was compiled with, None for none."""
    held = manifest.get("lm")
    model = held.get("model") if isinstance(held, dict) else None
    return model if isinstance(model, str) else None


def _check_kinds(program: object, registry: object) -> None:
    if not isinstance(program, str | Path):
        raise TypeError(f"program must be a name or a folder, not {type(program).__name__}")
    if not isinstance(registry, Registry | str | Path):
        kind = type(registry).__name__
        raise TypeError(f"registry must be a Registry or a file of agents, not {kind}")


def _agents(registry: Registry | str | Path) -> Registry:
    return registry if isinstance(registry, Registry) else load_enriched(registry)


def _aim(
    delegator: Delegator,
    folder: Path,
    manifest: dict[str, Any],
    precision: float | None,
    share: float | None,
) -> None:
    held = manifest.get("calibration") or {"confidences": [], "right": []}
    where = f"{folder / MANIFEST}: calibration"
    scores = read_scores(held, where)
    if not scores.confidences:
        raise ProgramError(
            f"{folder / MANIFEST}: holds no validation scores to choose a threshold from; "
            "run python -m optimize calibrate"
        )
    own = read_target(held, where)
    target = Target(
        own.precision if precision is None else precision,
        own.out_of_scope_share if share is None else share,
        own.delta,
    )
    alone = choose_threshold(scores.sample(), target)
    delegator.knobs.set({"confidence.assign_threshold": alone.threshold})
    _log.log(alone.loudness, "%s: %s", folder, alone.sentence())
    if scores.with_lm is not None and scores.with_lm.confidences:
        heard = choose_threshold(scores.with_lm.sample(alone.threshold), target)
        delegator.knobs.set({"confidence.assign_threshold_with_lm": heard.threshold})
        _log.log(heard.loudness, "%s, with an LM: %s", folder, heard.sentence())


def save(delegator: Delegator, folder: Path, manifest: dict[str, Any]) -> None:
    """Write a program's folder in one step. Only a compiled program is overwritten.

    Args:
        delegator: the program; it is not changed, and its LM is not written.
        folder: the folder to create or replace.
        manifest: what to record; format and signatures are added.

    Raises:
        InputError: the path exists and is no compiled program, or it cannot be written.
    """
    check_target(folder)
    with _written_to(folder) as fresh:
        copy = delegator.deepcopy()
        # DSPy passes over children that an optimizer marked as compiled: they would keep their
        # LM and be missing in the state.
        for _, module in copy.named_sub_modules(dspy.Module):
            clear_compiled(cast("dspy.Module", module))
        copy.set_lm(None)
        copy.save(str(fresh / PROGRAM))
        record = {**manifest, "format": FORMAT, "signatures": signatures_sha256()}
        (fresh / MANIFEST).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _written_to(folder: Path) -> Iterator[Path]:
    """Yield the new folder of a program, which takes the old one's place.

    Raises:
        InputError: it cannot be written, as on a full disk; what was there stays.
    """
    try:
        with replacing_folder(folder) as fresh:
            yield fresh
    except (OSError, RuntimeError) as error:
        refused = error.__context__ if isinstance(error, RuntimeError) else error  # DSPy's own
        if not isinstance(refused, OSError):
            raise
        raise InputError(f"{folder}: cannot be written: {refused.strerror}") from error


def check_target(folder: Path) -> None:
    """Check that saving to a folder overwrites nothing but a compiled program.

    Raises:
        InputError: the path is a file, or a folder with other content.
    """
    if folder.is_file() or (
        folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file()
    ):
        raise InputError(
            f"{folder}: exists and is no compiled program; name a new folder, or the folder "
            "of a compiled program"
        )


def find(program: str | Path) -> Path:
    """Return the folder of a program, by path, by name if it ships, or by MLflow URI.

    Raises:
        ProgramError: there is no such program.
    """
    if str(program).startswith(_REGISTERED):
        return _downloaded(str(program))
    for folder in (Path(program), SHIPPED / program):
        if is_file(folder / MANIFEST):
            return folder
    names = sorted(p.name for p in SHIPPED.glob("*") if (p / MANIFEST).is_file())
    raise ProgramError(
        f"{str(program)[:200]}: no compiled program; name a folder with {MANIFEST}, or one of: "
        f"{', '.join(names) or 'none ships'}"
    )


def _downloaded(uri: str) -> Path:
    """Return the program's folder of a model in MLflow's registry."""

    def download(mlflow: Any) -> Path:
        return Path(mlflow.artifacts.download_artifacts(uri)) / "artifacts" / "program"

    return read_mlflow(uri, download, ProgramError)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a program's manifest.

    Raises:
        ProgramError: it is broken, or was written for other code.
    """
    path = folder / MANIFEST
    try:
        manifest = read_json(path)
    except InputError as error:
        raise ProgramError(str(error)) from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found not in READABLE or isinstance(found, bool):
        raise ProgramError(
            f"{path}: format {found!r}, this code reads {' and '.join(map(str, READABLE))}; "
            "compile the program again"
        )
    signatures = _SIGNATURES if found == FORMAT else _FORMAT3_SIGNATURES
    if manifest.get("signatures") != signatures_sha256(signatures):
        raise ProgramError(
            f"{path}: compiled for signatures that differ from this code's; "
            "compile the program again"
        )
    for part, keys in {"embedder": ("spec", "id"), "registry": ("sha256", "calibrated")}.items():
        held = manifest.get(part)
        if not isinstance(held, dict) or any(key not in held for key in keys):
            raise ProgramError(f"{path}: {part} must hold {' and '.join(keys)}")
    reranker = manifest.get("reranker")
    if reranker is not None and not names_reranker(reranker):
        raise ProgramError(f"{path}: reranker must hold spec and id, both texts, or be null")
    calibrated = manifest["registry"]["calibrated"]
    if not (isinstance(calibrated, list) and all(isinstance(each, str) for each in calibrated)):
        raise ProgramError(f"{path}: registry.calibrated must be a list of digests")
    if manifest["registry"].get("calibrated_by", "labels") not in ("labels", "samples"):
        raise ProgramError(f"{path}: registry.calibrated_by must be labels or samples")
    return manifest


def signatures_sha256(signatures: Sequence[type[dspy.Signature]] = _SIGNATURES) -> str:
    """Return a digest of the signatures' fields: names, order, roles and shapes of their types.

    DSPy restores field descriptions by position, so a program fits only the fields it was
    compiled for. Wording, class names and module paths do not count.
    """
    fields = [
        [
            (name, "input" if name in signature.input_fields else "output", _shape(f.annotation))
            for name, f in signature.fields.items()
        ]
        for signature in signatures
    ]
    return sha256_text(json.dumps(fields, sort_keys=True))


@cache  # signatures share few types
def _shape(annotation: Any) -> Any:
    """Return a type's JSON schema without titles and descriptions, its references resolved."""
    schema = TypeAdapter(annotation).json_schema()
    definitions = schema.pop("$defs", {})

    def bare(node: Any, around: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [bare(item, around) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            if name in around:  # a type that holds itself
                return {"around": len(around) - around.index(name)}
            return bare(definitions[name], (*around, name))
        return {
            key: bare(value, around)
            for key, value in node.items()
            if not (key in ("title", "description") and isinstance(value, str))
        }

    return bare(schema, ())
