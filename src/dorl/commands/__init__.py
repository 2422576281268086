"""The commands, a verb a file. They do not know each other."""
