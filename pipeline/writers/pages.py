"""What HTML pages of results share: each is one file, loads nothing and runs only its own script."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from pyraseg.pipeline.writers.tables.text import clean

__all__ = ["data_uri", "page_template", "policy_hash", "read_part"]

KINDS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png"}


def read_part(package: str, name: str) -> str:
    """The text of a file in a package: a template, a style sheet, a script."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def page_template(package: str, name: str) -> Template:
    """A template that escapes its values and has the filters ``clean``, ``data_uri``, ``any``, ``all``."""
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {"any": any, "all": all, "data_uri": data_uri}
    environment.filters["clean"] = lambda value: clean(str(value))
    return environment.from_string(read_part(package, name))


def policy_hash(text: str) -> str:
    """The hash by which a page's policy allows its own style or script (W3C, Content Security Policy)."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"


def data_uri(picture: bytes | None) -> str | None:
    """A JPEG or PNG as a data URI; None for anything else."""
    for start, kind in KINDS.items():
        if picture and picture.startswith(start):
            return f"data:image/{kind};base64,{b64encode(picture).decode('ascii')}"
    return None
