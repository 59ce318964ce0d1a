"""`python -m gossipfl` is `gossipfl`."""

from gossipfl.cli import main

if __name__ == "__main__":
    main()
