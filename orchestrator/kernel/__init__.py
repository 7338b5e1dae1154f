"""What all stand on. Imports libraries only."""
