"""Statuses and events for analysts: tables, dataframes, and the fold on engines that they already have."""
