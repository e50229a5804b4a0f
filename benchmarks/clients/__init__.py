"""One module for each peer, in its fastest ordinary style; each is run as a process."""
