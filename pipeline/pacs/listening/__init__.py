"""``pyraseg listen``: images come over the network, results go back."""
