"""Asks running peers how they are."""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gossipfl.engines.http.status import PeerStatus
from gossipfl.names.visible_text import all_visible

SECONDS = 5.0
MAX_BYTES = 2**22

_PEER = TypeAdapter(PeerStatus)


def ask(url: str) -> dict[str, Any]:
    """The status that the peer watched at `url` gives, or {"error": why there is none}."""
    address = url if "://" in url else f"http://{url}"
    if not address.startswith(("http://", "https://")):
        return {"error": "a peer is watched at http://HOST:PORT"}
    try:
        page = address.rstrip("/").removesuffix("/status") + "/status"
        with urllib.request.urlopen(page, timeout=SECONDS) as response:
            status = json.loads(response.read(MAX_BYTES))
        told = _PEER.validate_python(status)
    except urllib.error.URLError as error:
        return {"error": f"cannot be reached: {error.reason}"}
    except ValidationError:
        return {"error": "answers, but is no peer of gossipfl, or of another version of it"}
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        return {"error": f"does not answer as a peer does: {type(error).__name__}: {error}"}
    shown: dict[str, Any] = all_visible(asdict(told))
    return shown
