"""Other servers: their own environments, a model class for each, and how each is started."""
