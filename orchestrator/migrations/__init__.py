"""The schema's history. `runner` applies it; revisions are named by date so that the newest is the last file."""
