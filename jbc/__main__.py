"""``python -m jbc``."""

import sys

from jbc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
