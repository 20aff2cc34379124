"""The verbs of the command line ``pyraseg``: one module each, cheap to import, for ``--help``."""
