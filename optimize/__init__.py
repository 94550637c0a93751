"""Compile, search, calibrate and measure delegators. A package of the checkout only."""
