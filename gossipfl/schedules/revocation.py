"""A schedule without those who were shut out of a run: everybody else meets as before, and nobody waits for them."""

from collections.abc import Collection

from gossipfl.schedules.schedule import Meeting, Meetings
from gossipfl.weights import PeerId


def without(meetings: Meetings, peer_id: PeerId, revoked: Collection[PeerId]) -> Meetings:
    """The meetings of `peer_id` in which nobody of `revoked` is heard or sent to.

    Their share goes to oneself, as that of a silent neighbor does. Where all do so, and shares are alike both ways or
    go with a mass, the mean of those who stay is kept; where who is heard is not who is sent to, it moves.

    >>> meetings = without(lambda step: Meeting({"a": 0.5, "b": 0.25, "c": 0.25}, ("b", "c")), "a", {"c"})
    >>> meetings(0)
    Meeting(row={'a': 0.75, 'b': 0.25}, receivers=('b',))
    """
    if not revoked:
        return meetings

    def meeting(step: int) -> Meeting:
        row, receivers = meetings(step)
        silent = sum(share for other, share in row.items() if other in revoked)
        kept = {other: share for other, share in row.items() if other not in revoked}
        kept[peer_id] += silent
        return Meeting(kept, tuple(other for other in receivers if other not in revoked))

    return meeting
