"""What needs attention: health, lateness and workers, seen together."""
