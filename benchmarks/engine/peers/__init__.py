"""Other servers, each in an environment of its own: run as scripts there, never imported with Fournil's packages."""
