"""``python -m tests.torture.pacs_sender PORT LIST FILE ...``: send files, and note each that was taken."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydicom import dcmread

from tests.pipeline.pacs.listening.nodes import associated


def main() -> None:
    port, noted, files = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    images = [dcmread(path) for path in files]
    with associated(port, images) as association, open(noted, "a", encoding="utf-8") as file:
        for path, image in zip(files, images, strict=True):
            if not association.is_established or association.send_c_store(image).get("Status") != 0:
                return
            file.write(f"\n{Path(path).name}\n")
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    main()
