"""Pure functions of (y, score, weight): arrays in, plain numbers out, `None` where a figure is undefined."""
