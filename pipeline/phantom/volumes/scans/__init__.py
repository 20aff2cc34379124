"""What a scanner makes of the body: CT, MR, PET."""
