"""Patient bootstrap, intervals, paired differences and rank sets: arrays in, arrays out."""
