"""A page that shows a run as it goes on: of a command in this process, or of peers that are watched from afar."""
