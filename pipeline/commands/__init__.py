"""The verbs of the command line ``pyraseg``, a module and an object each; cheap to import, for ``--help``."""
