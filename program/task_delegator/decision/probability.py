"""Floor of probabilities before a logarithm is taken."""

# Of a belief or a posterior that is multiplied with others: far below what any source reports.
PROBABILITY_FLOOR = 1e-9
# Of a confidence whose log-odds are a feature of a fitted model: one certain request is not to
# outweigh all others. The weights in compiled programs were fitted with this value.
CONFIDENCE_FLOOR = 1e-6
