"""The one exception for what a user can put right."""


class UserError(ValueError):
    """Bad input: a setting, a file or a class that the message names.

    The command-line tools print the message as one line and exit with status 2; any other
    exception is a fault of the code and keeps its traceback.
    """
