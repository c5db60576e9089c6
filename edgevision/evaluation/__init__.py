"""How good a detector is: average precision, agreement between models, plots and contact sheets."""
