"""Linear probe: regularised logistic regression on the features of a frozen encoder."""
