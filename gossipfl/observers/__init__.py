"""Programs that many use to look at runs are told what is measured, each behind the protocol of `tracker`."""
