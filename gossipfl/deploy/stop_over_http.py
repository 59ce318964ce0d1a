"""Asks running peers to end, with the token that they were started with."""

import http.client
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from gossipfl.engines.http.serving.origins import is_loopback
from gossipfl.errors import ConfigurationError, TransportError
from gossipfl.names.visible_text import visible

_SECONDS = 5.0

_REFUSALS = {
    401: "has another token than this",
    403: "does not know itself by that name: ask for it by the address at which it is watched",
    404: "takes no such words: start it with --stop-token FILE",
    503: "is over",
}


def checked_urls(urls: Sequence[str], *, insecure: bool = False) -> list[str]:
    """The URLs of watching ports. Raises ConfigurationError, before anybody is asked, for what is none, and for one to
    which the token would go in the clear to another machine."""
    checked = []
    for url in urls:
        address = url if "://" in url else f"http://{url}"
        try:
            parts = urlsplit(address)
            is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path in ("", "/")
            is_right = is_right and parts.port is not None and not parts.username
        except ValueError:  # a port that is none
            is_right = False
        if not is_right:
            raise ConfigurationError(f"a peer is watched at http://HOST:PORT, got {url!r}")
        if parts.scheme == "http" and not is_loopback(parts.hostname or "") and not insecure:
            raise ConfigurationError(
                f"{url} is not on this machine, and the token would go there in the clear: ask from that machine, or "
                "say --insecure where the network is trusted"
            )
        checked.append(address)
    return checked


def ask_to_stop(url: str, token: str) -> str:
    """The name of the peer that is watched at a checked URL, and has been asked to end.

    Raises TransportError, which says why it has not been. Redirections are not followed: the token is for this peer.
    """
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        connection.request("POST", "/stop", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        content = response.read(65_536)
        if response.status != 202:
            why = _REFUSALS.get(response.status, f"answers {response.status}, and is no peer of gossipfl")
            raise TransportError(f"{url} {why}")
        return visible(str(json.loads(content)["peer"]))
    except (OSError, http.client.HTTPException) as error:
        raise TransportError(f"{url} cannot be reached: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TransportError(f"{url} answers, but is no peer of gossipfl") from error
    finally:
        connection.close()
