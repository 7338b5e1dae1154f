"""When syncs run by themselves: by the clock, at intervals, after one another."""
