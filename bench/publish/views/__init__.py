"""What each page shows, as the values of its template."""
