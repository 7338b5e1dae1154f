"""How the world reaches us: the command line, later the web and the worker. May import everything below."""
