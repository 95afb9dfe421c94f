"""What a laptop's folder remembers in `laptop.json`: its ports, whether it enforces roles, and what their tokens are made from."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any


class LaptopSettings:
    """One folder's `laptop.json`, read anew each time: others start and stop things here too. The folder must be there to remember."""

    def __init__(self, home: Path) -> None:
        self._path = home / "laptop.json"

    @property
    def ports(self) -> dict[str, int]:
        """The port that each server had last."""
        return self._all().get("ports", {})

    def remember_port(self, name: str, port: int) -> None:
        """Keep a port: an address stays the same from one start to the next."""
        self._remember(ports={**self.ports, name: port})

    @property
    def enforces_iam(self) -> bool:
        """Whether signatures and policies were checked at the last start."""
        return bool(self._all().get("enforces_iam"))

    def remember_enforcement(self, enforces_iam: bool) -> None:
        """Keep whether signatures and policies are checked."""
        self._remember(enforces_iam=enforces_iam)

    def role_secret(self) -> str:
        """Return what the roles' tokens are made from: random, drawn once for this folder."""
        known = self._all().get("role_secret")
        if known is None:
            known = secrets.token_hex(32)
            self._remember(role_secret=known)
        return known

    def _all(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def _remember(self, **settings: object) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(self._all() | settings))
        temporary.replace(self._path)
