"""A store's statuses in a compacted topic: published once as they are, then as they change."""
