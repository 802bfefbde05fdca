"""Commands of the applications: one function per command, which parses its arguments."""
