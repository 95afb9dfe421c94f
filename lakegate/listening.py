"""Where a server without a login may listen: on loopback, unless a person says what stands before it."""

import ipaddress

from pipelines.errors import ConfigurationError

__all__ = ["PROXY_FLAG", "is_loopback", "require_loopback"]

PROXY_FLAG = "--behind-authenticating-proxy"
"""Long on purpose: nobody types it without having read it."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there.

    True for `localhost` and addresses of 127.0.0.0/8 and ::1, written out. A name may lead anywhere tomorrow, and short forms of
    addresses (`0`, `127.1`, ``) mean different things to different programs: all of these count as public.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(what: str, host: str, *, behind_proxy: bool) -> None:
    """Refuse to have `what` listen on `host` where others can reach it, unless a proxy asks them who they are.

    Raises:
        ConfigurationError: it is no loopback address and nobody vouched for a proxy.
    """
    if behind_proxy or is_loopback(host):
        return
    raise ConfigurationError(
        f"{what} would listen on {host or 'every address'!r}, and it has no login: whoever reaches it may start and stop runs, and read "
        f"everything it shows. Expected: 127.0.0.1, which only this machine reaches. Put a proxy that asks for a login before it "
        f"(docs/deploying-dagster.md says how), let only that proxy reach the port, and then add {PROXY_FLAG}."
    )
