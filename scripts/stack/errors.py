"""What ends the work on one service; the text is one line for the user."""


class ServiceError(Exception):
    """It is there but does not run: something is to be mended."""


class Unavailable(ServiceError):
    """This machine does not have it and cannot get it: the line says what to install."""
