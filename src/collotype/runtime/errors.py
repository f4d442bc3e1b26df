"""Exceptions with messages for the user."""


class UserError(Exception):
    """An error that the user can fix. The message gives the cause, the value seen and the next step. Exit status 2.

    Examples:
        >>> import collotype
        >>> try:
        ...     collotype.load_recipe("desk-colpalli")
        ... except collotype.UserError as error:
        ...     print(str(error)[:59])
        There is no recipe 'desk-colpalli'; did you mean 'desk-colp
    """


class InterruptedRunError(UserError):
    """The user or the machine stopped the run; the work so far is kept."""


class PeerError(UserError):
    """Another process of the run failed and reports the error itself."""


def reason(error: Exception) -> str:
    """Why something could not be read: the system's words, or the error with its type."""
    return (isinstance(error, OSError) and error.strerror) or repr(error)


def first_line(error: Exception) -> str:
    return str(error).split("\n")[0].split(". ")[0]
