"""What several studies share: result files, costs, timing, registries to measure on."""
