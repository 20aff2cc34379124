"""Files written whole or not at all, devices, several processes, and errors as the user reads them."""
