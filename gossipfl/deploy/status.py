"""Asks running peers how they are."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gossipfl.engines.http.following import follow_pages
from gossipfl.engines.http.status import PeerStatus
from gossipfl.errors import ConfigurationError
from gossipfl.names.visible_text import all_visible

SECONDS = 5.0
MAX_BYTES = 2**22

_PEER = TypeAdapter(PeerStatus)


def status_page(url: str) -> str:
    """The page where the peer that is watched at a URL says how it is. Raises ConfigurationError for another URL."""
    address = url if "://" in url else f"http://{url}"
    if not address.startswith(("http://", "https://")) or not address.partition("://")[2].strip("/"):
        raise ConfigurationError(f"a peer is watched at http://HOST:PORT, got {url!r}")
    return address.rstrip("/").removesuffix("/status") + "/status"


def told(content: bytes) -> PeerStatus:
    """The status in the answer of a peer. Raises ConfigurationError, which says why, when it holds none."""
    try:
        return _PEER.validate_python(json.loads(content))
    except ValidationError:
        raise ConfigurationError("answers, but is no peer of gossipfl, or of another version of it") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"does not answer as a peer does: {type(error).__name__}: {error}") from None


def ask(url: str) -> dict[str, Any]:
    """The status that the peer watched at `url` gives, or {"error": why there is none}."""
    try:
        with urllib.request.urlopen(status_page(url), timeout=SECONDS) as response:
            shown: dict[str, Any] = all_visible(asdict(told(response.read(MAX_BYTES))))
            return shown
    except ConfigurationError as error:
        return {"error": str(error)}
    except urllib.error.URLError as error:
        return {"error": f"cannot be reached: {error.reason}"}
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {"error": f"does not answer as a peer does: {type(error).__name__}: {error}"}


async def follow(urls: Sequence[str], tell: Callable[[int, PeerStatus | str], None]) -> None:
    """Ask the peers that are watched at these URLs for ever; `tell` is given the place of a peer among them, and what
    it says of itself, or why it says nothing. Raises ConfigurationError for what is no URL."""
    await follow_pages([status_page(url) for url in urls], told, tell)
