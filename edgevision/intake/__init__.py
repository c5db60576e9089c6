"""Models from outside: settled, probed in a child process, checked and put in the store."""
