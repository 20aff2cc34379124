"""``python -m pipeline`` is the command ``pyraseg``."""

import sys

from pipeline.cli import main

sys.exit(main())
