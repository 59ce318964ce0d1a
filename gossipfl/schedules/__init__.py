"""Who mixes with whom in which gossip step, and with which weights: one file per family."""

from collections.abc import Mapping

from gossipfl.schedules.schedule import Meeting, Meetings, Schedule
from gossipfl.schedules.static import Static

__all__ = ["SCHEDULES", "Meeting", "Meetings", "Schedule", "Static"]

SCHEDULES: Mapping[str, type[Schedule]] = {"static": Static}
"""The schedules by the names that scenarios use."""
