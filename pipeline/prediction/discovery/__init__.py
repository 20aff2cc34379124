"""From INPUTs to items: files, DICOMDIR, series, and which of them a bundle takes."""
