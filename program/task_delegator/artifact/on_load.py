"""Calibrate a program as it is loaded, where that is asked for, and warn of what does not hold."""

import logging
from collections import Counter
from collections.abc import Collection
from functools import cache
from pathlib import Path

from ..decision import Target
from ..delegator import Delegator
from ..errors import InputError
from ..lm import is_packaged
from ..registry import Registry
from ..text import printable
from .self_calibration import calibrate_itself, written_samples

_log = logging.getLogger(__name__)
_NAMED = 3  # agents, in a warning
_LOOKED_AT = 50  # agents whose language is told: each takes 0.1 ms
_SMALL = (
    "the packaged LM is too small to decide about agents that it was not compiled with, and is not "
    "asked: name a larger one, or compile with it"
)


def calibrate_as_asked(
    delegator: Delegator,
    how: str | None,
    written: Collection[str] | None,
    registry: Registry | str | Path,
    precision: float | None,
    out_of_scope_share: float | None,
) -> bool:
    """Calibrate a program by ``calibrate`` of ``load``; return whether samples calibrated it.

    Args:
        delegator: the program.
        how, written, registry, precision, out_of_scope_share: as ``load`` was given them.

    Raises:
        InputError: there is no such way, the precision is out of its range, or the confidence of
            samples or other registries was to reach another aim than it can.
    """
    if how is None:
        return False
    if is_packaged(delegator.given_lm()):
        _log.warning("%s", _SMALL)
    if how == "transfer":
        _check_transfer(delegator, precision, out_of_scope_share)
        return False
    if how != "self":
        raise InputError(f"calibrate={how!r}: is no way to calibrate; use 'self' or 'transfer'")
    if out_of_scope_share is not None:
        raise InputError(
            "calibrate='self' takes no out-of-scope share: it counts a share of its own in; leave "
            "it out, or calibrate on labeled requests"
        )
    aim = Target() if precision is None else Target(precision)
    own = written_samples(registry) if written is None else written
    try:
        calibrate_itself(delegator, own, aim.precision)
    except InputError as error:
        _log.warning("%s", error)
        return False
    bare = sum(not agent.user_request_samples for agent in delegator.registry)
    if bare:
        _log.warning(
            "%d of %d agents have no user_request_samples: tasks that seem to be for them are "
            "reviewed; calibrate='transfer' assigns some", bare, len(delegator.registry),
        )  # fmt: skip
    return True


def _check_transfer(delegator: Delegator, *aims: float | None) -> None:
    """Warn where no confidence of other registries carries over, and why.

    Args:
        delegator: the program.
        aims: precision and share that were asked for.

    Raises:
        InputError: it carries over, and its threshold was chosen for another aim.
    """
    calibrated, transfers = delegator.calibrated(), delegator.transfers()
    if transfers and not calibrated and any(aim is not None for aim in aims):
        raise InputError(
            "calibrate='transfer' takes no target precision and no out-of-scope share: leave "
            "them out, or set the knob transfer.assign_threshold"
        )
    if calibrated or transfers:
        return
    known, number = delegator.knobs.values.transfer, len(delegator.registry)
    if known.assign_threshold is None:
        _log.warning("the program has no confidence of other registries: run optimize transfer")
    elif delegator.calibrated_for.trusted:
        _log.warning("the program's own confidence is believed, not that of other registries")
    else:
        _log.warning(
            "the confidence of other registries holds for %d to %d agents, not for %d: every task "
            "of a caller who may use all is %s", known.least_agents, known.most_agents, number,
            "for the LM" if delegator.may_ask_lm() else "reviewed",
        )  # fmt: skip


def tell_unasked(delegator: Delegator, tried: str | None) -> None:
    """Warn that the LM of a program is asked about no task, and say what would help.

    Args:
        delegator: the program.
        tried: the LM that it was compiled with, None for none.
    """
    if delegator.may_ask_lm() or is_packaged(delegator.given_lm()):
        return
    if delegator.calibrated_for.trusted:
        _log.warning("the LM is not asked: the program's own confidence is believed, uncalibrated")
    elif delegator.calibrated() and tried is not None:
        _log.warning(
            "the LM is not asked: the program was compiled with %s, which brought too little on "
            "validation to be heard; compile with a larger one", printable(tried),
        )  # fmt: skip
    elif delegator.calibrated():
        _log.warning("the LM is not asked: the program was compiled without one; compile with it")
    else:
        _log.warning("the LM is not asked without a calibration: calibrate='transfer' asks it")


@cache  # a service loads the same program often: once says it
def tell_uncalibrated(name: str, registry: str, whom: str, instead: str) -> None:
    """Warn that a program was not calibrated for a registry, by its digest.

    Args:
        name: of the program.
        registry: its digest.
        whom: of a registry that is hardly another, the agents that it was not calibrated for.
        instead: what decides instead.
    """
    _log.warning(
        "%s: its confidence is not calibrated for this registry%s: %s", name, whom, instead
    )


def decides_instead(delegator: Delegator) -> str:
    """Return in words what decides where a program was not calibrated for its registry.

    Where few agents are strange to it, that is about tasks which may be for these.
    """
    known = delegator.calibrated_for
    if known.trusted:
        return "it is believed all the same"
    few = known.strangers(delegator.registry, None) is not None
    about = " about tasks that may be for them" if few else ""
    if not delegator.transfers():
        return f"a person decides{about}"
    if known.transfer:
        return f"that of other registries decides{about}"
    return f"a person decides{about}; calibrate='transfer' has that of other registries decide"


def tell_foreign(delegator: Delegator) -> None:
    """Warn of agents that are described in a language which the embedder does not know."""
    agents = sorted(delegator.registry, key=lambda agent: agent.name)[:_LOOKED_AT]
    spoken = Counter(filter(None, map(delegator.retrieve.language_of_agent, agents)))
    if spoken:
        (language, number), *_ = spoken.most_common(1)
        _log.warning(
            "%d of %d agents are described in the language %r, which the embedder does not know: "
            "tasks for them are reviewed; describe them in English, or compile with another "
            "embedder, such as e5", number, len(agents), language,
        )  # fmt: skip


def few_strangers(delegator: Delegator) -> str:
    """Return in words who is new or changed, where that is less than half of the agents."""
    agents = delegator.registry
    names = delegator.calibrated_for.few_strangers(agents)
    if not names:
        return ""
    shown = ", ".join(map(printable, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")
    return f", of which {len(names)} of {len(agents)} agents are new or changed ({shown})"
