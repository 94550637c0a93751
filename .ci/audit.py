"""Look the pinned packages up among known vulnerabilities, with pip-audit.

Ends with 1 where a package that ``pyproject.toml`` names has a vulnerability with a fix. Others
are printed. Where the data cannot be reached, one line says so and the exit code is 0.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AUDIT = (
    *(sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt")),
    *("--no-deps", "--disable-pip", "--format", "json"),
    *("--progress-spinner", "off", "--timeout", "10"),
)
_SECONDS = 180  # for all packages; 8 were enough
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def main(command: Sequence[str] = AUDIT, seconds: float = _SECONDS) -> int:
    """Print what is known; return 1 where a direct dependency can be mended, else 0.

    Args:
        command: prints the report of pip-audit as JSON.
        seconds: that it may take.
    """
    packages = _report(command, seconds)
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        print("audit: skipped: there are no data on vulnerabilities here")
        return 0
    direct, mendable = direct_dependencies(), 0
    for package in audited:
        for known in package["vulns"]:
            fixes = known["fix_versions"]
            fails = bool(fixes) and _normal(package["name"]) in direct
            mendable += fails
            remedy = f"fixed in {', '.join(fixes)}" if fixes else "no fix yet"
            kind = "error" if fails else "note"
            print(f"audit: {kind}: {package['name']} {package['version']}: {known['id']}: {remedy}")
    print(f"audit: {len(audited)} of {len(packages)} packages looked up, {mendable} to mend")
    return 1 if mendable else 0


def direct_dependencies(project: Path = ROOT / "pyproject.toml") -> set[str]:
    """Return the names that ``pyproject.toml`` lists, extras and groups included, normalized."""
    values = tomllib.loads(project.read_text(encoding="utf-8"))
    lists = [
        values["project"]["dependencies"],
        *values["project"]["optional-dependencies"].values(),
        *values["dependency-groups"].values(),
    ]
    found = (_NAME.match(requirement) for listed in lists for requirement in listed)
    return {_normal(match[0]) for match in found if match}


def _report(command: Sequence[str], seconds: float) -> list[dict[str, Any]]:
    """Return one entry per package; none where there is no report."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        print(f"audit: no report within {seconds:.0f} s")
        return []
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"audit: no report: {''.join(done.stderr.strip().splitlines()[-1:])[:200]}")
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
