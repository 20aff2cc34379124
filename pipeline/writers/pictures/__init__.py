"""Pictures for people: overlays, cines, contact sheets, montages, plots."""
