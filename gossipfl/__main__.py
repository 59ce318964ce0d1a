"""`python -m gossipfl` is `gossipfl`."""

import os
import sys


def _leave_out_the_current_directory() -> None:
    """`python -m` looks for every module in the current directory first, whatever was copied there; `gossipfl` does
    not. A checkout that is the current directory stays, or there would be no gossipfl."""
    here = os.getcwd()
    if not sys.flags.safe_path and sys.path[:1] == [here] and not os.path.isdir(os.path.join(here, "gossipfl")):
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_the_current_directory()
    from gossipfl.cli.app import main

    main()
