"""A gossip step without some of those who would meet: everybody else meets as before, and nobody waits for them."""

from collections.abc import Container

from gossipfl.schedules.schedule import Meeting
from gossipfl.weights import PeerId


def without(meeting: Meeting, peer_id: PeerId, absent: Container[PeerId]) -> Meeting:
    """The meeting of `peer_id` in which nobody of `absent` is heard or sent to.

    Their share goes to oneself, as that of a silent neighbor does. Where all do so, and shares are alike both ways or
    go with a mass, the mean of those who stay is kept; where who is heard is not who is sent to, it moves.

    >>> without(Meeting({"a": 0.5, "b": 0.25, "c": 0.25}, ("b", "c")), "a", {"c"})
    Meeting(row={'a': 0.75, 'b': 0.25}, receivers=('b',))
    """
    row, receivers = meeting
    silent = sum(share for other, share in row.items() if other in absent)
    kept = {other: share for other, share in row.items() if other not in absent}
    kept[peer_id] += silent
    return Meeting(kept, tuple(other for other in receivers if other not in absent))
