"""Small models to begin with; each trains in seconds on data that ships in a package."""
