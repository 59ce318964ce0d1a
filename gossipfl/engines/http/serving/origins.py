"""Who may ask for a page: whoever has typed its address, and the page itself; never a page from somewhere else.

A browser asks in the name of its user whatever a foreign page tells it to. So a page that is served without a password
looks at what a browser says of itself: `Host` names the address that the browser believes it talks to, which is a
stranger's where a name was bound to this machine afterwards (DNS rebinding); `Origin` and `Sec-Fetch-Site` name the
page that asks.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """True if a host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_number(host: str) -> bool:
    """True for an address in numbers: no name can be bound to another machine behind it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_same_secret(given: str, secret: str) -> bool:
    """True if a stranger, who may give anything, has given the secret; the time it takes tells nothing."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), secret.encode())


def why_foreign(headers: Mapping[str, str], bound: str, *, by_name: bool = False) -> str | None:
    """The reason why a request to a server that is `bound` to a host is refused; None: it may come in.

    On loopback `Host` names this machine. Elsewhere it is a number or the bound name itself, or `by_name` any name, for
    pages that no browser should read.

    >>> why_foreign({"Host": "127.0.0.1:8000"}, "127.0.0.1") is None
    True
    >>> why_foreign({"Host": "evil.example:8000"}, "127.0.0.1")
    'this is not evil.example; ask for it by 127.0.0.1'
    >>> why_foreign({"Host": "localhost:8000", "Origin": "http://localhost:3000"}, "127.0.0.1")
    'a page of http://localhost:3000 may not ask'
    """
    authority = headers.get("Host", "")
    try:
        name = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        name = ""
    if is_loopback(bound):
        is_known = is_loopback(name)
    else:
        is_known = bool(name) and (by_name or is_loopback(name) or is_number(name) or name == bound.lower())
    if not is_known:
        return f"this is not {name or 'a host without a name'}; ask for it by {bound}"
    origin = headers.get("Origin")
    if origin is not None and origin.lower() not in (f"http://{authority}".lower(), f"https://{authority}".lower()):
        return f"a page of {origin} may not ask"
    is_visit = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not is_visit:
        return "a page from somewhere else may not ask"
    return None
