"""The one exception for whatever a user can put right."""


class UserError(Exception):
    """A mistake in input, settings or paths.

    The message is one line that names what is wrong and what to do. The commands print it as
    `error: <message>` without a traceback and exit with `status`.
    """

    status = 2


class GateError(UserError):
    """A model, or a dataset, that is not as was required: nothing to put right in the command."""

    status = 3


class MachineError(UserError):
    """A full disk, no memory: unlike a mistake in the settings, the same command may do tomorrow."""

    status = 1
