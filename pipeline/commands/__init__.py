"""The verbs of ``pyraseg``, one module each. Importing them is cheap, so that ``--help`` is quick."""
