"""For programs that train with plain Keras: `GossipCallback` lets `model.fit` average with neighbors over HTTP.

It is imported when it is first used (PEP 562), and Keras with it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossipfl.keras.gossip_callback import GossipCallback

__all__ = ["GossipCallback"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gossipfl.keras' has no attribute {name!r}")
    from gossipfl.keras.gossip_callback import GossipCallback

    return GossipCallback
