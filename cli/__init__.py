"""The `fournil` command: the stack of one machine, and a client of the API. Imports wait until they are needed."""
