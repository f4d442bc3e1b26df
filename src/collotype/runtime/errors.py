"""The exceptions a user is meant to read."""


class UserError(Exception):
    """Something the user can fix: the message says the cause, the value seen and the next step. Exit status 2.

    Examples:
        >>> import collotype
        >>> try:
        ...     collotype.load_recipe("desk-colpalli")
        ... except collotype.UserError as error:
        ...     print(str(error)[:59])
        There is no recipe 'desk-colpalli'; did you mean 'desk-colp
    """


class InterruptedRunError(UserError):
    """The user or the machine asked the run to stop; what was done is kept."""


class PeerError(UserError):
    """Another process of the run failed; it tells the user itself."""


def first_line(error: Exception) -> str:
    return str(error).split("\n")[0].split(". ")[0]
