"""`make audit`: every locked package held against the published advisories, by pip-audit and OSV (https://osv.dev).

    0   no known vulnerability, but for those that `audit-exceptions.toml` explains
    1   a vulnerability nobody has explained, an explanation past its date, or a package that could not be judged
    3   not done: the advisory service cannot be reached, or does not know what everybody knows

A service that answers "nothing known" to every question looks like a clean audit: some mirrors of package indexes do. So it
is asked first about a release that is known to be vulnerable (Jinja2 2.4.1, the example in OSV's own documentation).
`LAKEGATE_OSV_URL` names another address of OSV's API. Run from the repository's root: `python -m requirements.audit`.
"""

import json
import os
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OSV_URL = "https://api.osv.dev/v1/query"
KNOWN_TO_BE_VULNERABLE = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}
CLEAN, FOUND, NOT_DONE = 0, 1, 3
_TIMEOUT_S = 15


@dataclass(frozen=True)
class Explained:
    """One vulnerability that does not concern us: why, and until when that is taken for granted."""

    id: str
    package: str
    why: str
    until: date


@dataclass(frozen=True)
class Finding:
    """One advisory on one locked package; `ids` are its names in all lists."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """The line people read."""
        fixed = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fixed release"
        return f"{self.package} {self.version}: {', '.join(self.ids)} ({fixed})"


class AuditError(Exception):
    """Some package could not be judged."""


def explained(path: Path) -> list[Explained]:
    """The exceptions in the file. Raises TypeError when one lacks a field or has one too many."""
    return [Explained(**entry) for entry in tomllib.loads(path.read_text()).get("exception", [])]


def unreachable(url: str) -> str | None:
    """Why the service cannot be relied on; None when it knows what is known."""
    asked = urllib.request.Request(url, json.dumps(KNOWN_TO_BE_VULNERABLE).encode(), method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT_S) as answer:
            known: Any = json.load(answer)
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    if not (isinstance(known, dict) and known.get("vulns")):
        return "it knows no vulnerability of jinja2 2.4.1, which has several"
    return None


def findings_in(lock: Path, url: str) -> list[Finding]:
    """What is known of the packages in a lock file. Raises AuditError when one could not be judged."""
    tool = Path(sys.executable).with_name("pip-audit")
    how = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--desc", "off"]
    asked = [str(tool), "--requirement", str(lock), *how, "--vulnerability-service", "osv", "--osv-url", url]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        last = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise AuditError(f"{lock.name}: pip-audit failed: {last[0]}") from error
    if skipped := [f"{one['name']} ({one['skip_reason']})" for one in packages if "skip_reason" in one]:
        raise AuditError(f"{lock.name}: {len(skipped)} packages could not be audited: {', '.join(skipped[:5])}")
    if not packages:
        raise AuditError(f"{lock.name}: no package was audited")
    return [
        Finding(one["name"], one["version"], (found["id"], *found["aliases"]), tuple(found["fix_versions"]))
        for one in packages
        for found in one["vulns"]
    ]


def judge(findings: Sequence[Finding], exceptions: Sequence[Explained], today: date) -> tuple[list[str], list[str]]:
    """What fails the audit, and what is only to be said."""
    bad: list[str] = []
    said: list[str] = []
    used: set[Explained] = set()
    for found in findings:
        why = next((e for e in exceptions if e.package == found.package and e.id in found.ids), None)
        if why is None:
            bad.append(
                f"{found}: take a fixed release, or explain in requirements/audit-exceptions.toml why it does not concern us"
            )
        elif why.until < today:
            bad.append(f"{found}: its explanation ended on {why.until}: look at it again")
        else:
            said.append(f"{found}: explained until {why.until}: {why.why}")
        used |= {why} if why else set()
    said += [
        f"the explanation of {e.id} ({e.package}) is not needed any more: remove it"
        for e in exceptions
        if e not in used
    ]
    return bad, said


def main(locks: Sequence[Path], exceptions: Path, environment: Mapping[str, str], today: date) -> int:
    """Audit the lock files, say what was found, return the exit code."""
    url = environment.get("LAKEGATE_OSV_URL") or OSV_URL
    known = explained(exceptions)
    if reason := unreachable(url):
        print(f"audit: not done, the advisory service cannot be reached ({url}: {reason})")
        return NOT_DONE
    findings: dict[Finding, None] = {}
    try:
        for lock in locks:
            findings |= dict.fromkeys(findings_in(lock, url))
    except AuditError as error:
        print(f"audit: {error}")
        return FOUND
    bad, said = judge(list(findings), known, today)
    for line in said:
        print(f"audit: {line}")
    for line in bad:
        print(f"audit: VULNERABLE: {line}")
    print(f"audit: {len(locks)} lock files, {len(bad)} vulnerabilities that nobody has explained")
    return FOUND if bad else CLEAN


if __name__ == "__main__":
    sys.exit(main(sorted(HERE.glob("*.lock")), HERE / "audit-exceptions.toml", os.environ, date.today()))  # noqa: DTZ011
