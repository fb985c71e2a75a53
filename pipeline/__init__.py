"""How the stages are wired, run and shown."""
