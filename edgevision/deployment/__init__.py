"""A model comes in, is checked, takes over from the one that serves, is watched, and is rolled back if it is worse."""
