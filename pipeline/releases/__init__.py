"""How a release comes about: candidates, the gate, the order of versions, the store."""
