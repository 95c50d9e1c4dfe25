"""CheXchoBench."""
