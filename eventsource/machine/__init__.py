"""The pure core, with every rule of a run: its table (`state`), `guards`, fold (`evolve`) and decisions (`steps`)."""
