"""What a command of many MONAI runs needs: their commands and processes, what is done already, the run above them."""
