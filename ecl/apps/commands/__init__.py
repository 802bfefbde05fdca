"""Command lines of the applications: one function a command, which parses its own arguments."""
