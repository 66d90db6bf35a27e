"""Downloads that end in time: whether an address answers, and a limit for those that stall."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

PATIENCE = 8.0  # seconds to wait for a first answer
_STALLED = 30.0  # seconds without a byte after which a download is given up


def unreachable(address: str, seconds: float = PATIENCE) -> str | None:
    """Why an address does not answer within some seconds, or None when it does.

    The look-up of a name cannot be given a time limit, so it runs in a thread that is left behind if it hangs.
    """
    answer: list[str | None] = []

    def request_head() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
            answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(str(getattr(error, "reason", error)))

    thread = threading.Thread(target=request_head, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:g} seconds"


@contextlib.contextmanager
def download_timeout() -> Iterator[None]:
    """Lets a download fail that stalls for half a minute."""
    with contextlib.ExitStack() as after:
        after.callback(socket.setdefaulttimeout, socket.getdefaulttimeout())
        socket.setdefaulttimeout(_STALLED)
        yield
