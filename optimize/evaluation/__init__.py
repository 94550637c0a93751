"""How well a program does: outcomes, metrics, baselines, comparisons, drift."""
