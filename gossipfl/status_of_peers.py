"""Asks running peers how they are."""

import json
import urllib.error
import urllib.request
from typing import Any

SECONDS = 5.0
MAX_BYTES = 2**22


def ask(url: str) -> dict[str, Any]:
    """The status that the peer watched at `url` gives, or {"error": why there is none}."""
    address = url if "://" in url else f"http://{url}"
    if not address.startswith(("http://", "https://")):
        return {"error": "a peer is watched at http://HOST:PORT"}
    try:
        page = address.rstrip("/").removesuffix("/status") + "/status"
        with urllib.request.urlopen(page, timeout=SECONDS) as response:
            status = json.loads(response.read(MAX_BYTES))
    except urllib.error.URLError as error:
        return {"error": f"cannot be reached: {error.reason}"}
    except (OSError, ValueError) as error:
        return {"error": f"does not answer as a peer does: {error}"}
    if not (isinstance(status, dict) and {"peer", "state", "round", "neighbors"} <= status.keys()):
        return {"error": "answers, but is no peer of gossipfl"}
    return status
