"""The shell around the machine: asks it, calls models, tools and hooks, and appends what came of it."""
