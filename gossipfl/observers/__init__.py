"""What is measured of a run, told to programs that many use to look at runs: each behind the protocol of `tracker`."""
