"""The commands, each imported when it runs; those that do the same in two ways share a module."""
