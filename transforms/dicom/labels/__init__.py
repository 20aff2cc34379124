"""Labels drawn on series: SEG and RTSTRUCT."""
