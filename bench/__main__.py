import sys

from bench.runner import main

if __name__ == "__main__":  # load processes import this module too
    sys.exit(main())
