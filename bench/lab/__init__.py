"""What every benchmark needs: a place to measure in, a stopwatch, a report."""
