"""What the library raises."""


class PrrError(Exception):
    """What went wrong between client, binder and service; the text says what and with whom.

    `service` is what was asked for, `address` the (ip, port) of the instance and `binder` that of
    the binder it is about; each None where there is none.
    """

    def __init__(
        self,
        why: str,
        *,
        service: int | str | None = None,
        address: tuple[str, int] | None = None,
        binder: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(why)
        self.service = service
        self.address = address
        self.binder = binder


class NoSuchService(PrrError):
    """The binder knows no instance of that service."""


class NoBinderAnswered(PrrError):
    """No binder of the list answered in time, or none has a name that can be resolved."""


class ServiceDidNotAnswer(PrrError):
    """The service refused, or did not answer in time. The binder has been told."""


class ServiceFailed(PrrError):
    """The service answered that it failed at this request; the text is what it said."""


class CannotServe(PrrError):
    """A Service cannot be started: nothing answers its requests, or it cannot listen there."""
