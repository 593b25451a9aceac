"""How fast it is, as ratios: every figure is measured in one run against a reference that the run itself starts."""
