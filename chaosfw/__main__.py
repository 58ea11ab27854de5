"""``python -m chaosfw``: the command line where its script is not on PATH."""

import sys

from chaosfw.cli.main import main

sys.exit(main())
