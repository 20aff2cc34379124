"""``python -m pipeline`` in the repository is the command ``pyraseg``."""

import sys

from pyraseg.pipeline.cli import main

sys.exit(main())
