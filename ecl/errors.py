"""The error that a user can correct."""


class UserError(ValueError):
    """Bad input: a setting, a file or a class that the message names.

    The command-line tools print the message as one line and exit with status 2, as for missing
    packages, full disks and exhausted memory. Any other exception is a fault of the code and keeps
    its traceback.
    """
