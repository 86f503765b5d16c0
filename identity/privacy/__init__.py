"""The privacy gates: classify, seal, hash, ask for consent, suppress."""
