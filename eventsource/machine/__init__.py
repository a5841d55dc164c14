"""The pure core, with every rule of a run: the table (`state`), `guards`, the fold (`evolve`), the decisions (`steps`)."""
