"""Shared by studies: result files, costs, timing, registries to measure on."""
