"""Pages, plots and MLflow runs of the committed results."""
