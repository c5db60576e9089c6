"""Features and a light head: frozen features of a foundation model, and a logistic regression on a few examples."""
