"""Draw docs/images/phantom.png, the contact sheet of phantom frames in the README."""

from pathlib import Path

from pyraseg.pipeline.phantom.sheet import write_sheet

if __name__ == "__main__":
    print(write_sheet(Path(__file__).resolve().parents[1] / "docs" / "images" / "phantom.png"))
