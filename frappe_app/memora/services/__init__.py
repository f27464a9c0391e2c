"""What Python code calls: thin faces over the engine.

Nothing here imports the rest of the app, so that the folder can be laid over another app of
this name (``docs/EXISTING_APP.md``).
"""
