"""Values of the page templates."""
