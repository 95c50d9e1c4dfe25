"""Linear probe: penalised logistic regression on the features of a frozen encoder."""
