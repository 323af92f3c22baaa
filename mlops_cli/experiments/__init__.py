"""Runs, revisions and the workspace compared: facts about what was computed, and nothing about how they are shown."""
