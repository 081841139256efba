"""`python -m pgmagic verify|record|replay notebook.ipynb`."""

import sys

from pgmagic.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
