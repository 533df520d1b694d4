"""What an evaluation raises that was told to stop; apart, so that no one needs Numba to catch it."""


class Stopped(Exception):  # noqa: N818 - no error
    """`request_stop()` came while tokens were evaluated. Cache entries before the call's `pos` stay valid."""
