"""What an unfinished compilation leaves for the same command to go on with.

It is never part of the program: that appears whole, at the end.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimize.lock import hold
from task_delegator.agents import write_text

_log = logging.getLogger(__name__)


class Work:
    """The folder ``<out>.work``, held by one process at a time.

    It keeps the study of the search, the id of the run in MLflow, and what stages found that cost
    LM calls. Work that was begun with other data, options or code is thrown away, with a warning.

    Args:
        out: folder of the program that is being made.
        identity: of data, options and code, plain JSON.

    Raises:
        InputError: another process makes the same program, or the folder cannot be used.
    """

    def __init__(self, out: Path, identity: Mapping[str, Any]) -> None:
        self._out = out.absolute()
        self.folder = self._out.with_name(f"{out.name}.work")
        self._lock = hold(self.folder, self._out, "program")
        text = json.dumps(identity, indent=1, sort_keys=True, default=str) + "\n"
        begun = self.folder / "identity.json"
        if begun.is_file() and begun.read_text(encoding="utf-8") != text:
            _log.warning("%s: begun with other data, options or code; starting anew", self.folder)
            for path in self.folder.iterdir():
                if path.name != "lock":
                    path.unlink()
        write_text(begun, text)

    @property
    def journal(self) -> Path:
        """Return the journal of the search."""
        return self.folder / "search.journal"

    def keep(self, name: str, found: Any) -> None:
        """Keep what a stage found, plain JSON."""
        write_text(self.folder / f"{name}.json", json.dumps(found) + "\n")

    def kept(self, name: str) -> Any:
        """Return what a stage found before, None if it did not get that far."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def done(self) -> None:
        """Throw the work away, and what a process that was killed while saving left behind."""
        for partial in self._out.parent.glob(f".{self._out.name}.????????"):
            shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(self.folder)

    def __enter__(self) -> "Work":
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder; what it holds stays."""
        self._lock.close()
