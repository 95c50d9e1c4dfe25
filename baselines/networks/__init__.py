"""Neural networks trained by a recipe."""
