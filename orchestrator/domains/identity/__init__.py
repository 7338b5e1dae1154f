"""Who owns what: organizations and their workspaces."""
