"""Results of hospitals that share aggregates only: the signed file of one, and the board over several."""
