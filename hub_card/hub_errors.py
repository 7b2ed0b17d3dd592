"""What can go wrong between here and the Hub, in one sentence each."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ..common.errors import UserError


def hub_errors() -> tuple[type[Exception], ...]:
    """The exceptions of a Hub call: refusals, a broken connection, no token, offline mode."""
    found: list[type[Exception]] = [
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        OSError,
    ]
    for name in ("httpx2", "httpx"):  # which of them depends on the version of huggingface_hub
        if find_spec(name) is not None:
            found.append(import_module(name).HTTPError)
    return tuple(found)


def hub_problem(error: Exception, repo_id: str, doing: str) -> UserError:
    """A message for the user: what failed, and how to fix it.

    Args:
        error: what the Hub call raised.
        repo_id: the repository.
        doing: what was being done, such as "uploading to".
    """
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        advice = "log in with `hf auth login` or set HF_TOKEN to a token that may write"
    elif isinstance(error, OfflineModeIsEnabled):
        advice = "HF_HUB_OFFLINE is set; unset it"
    elif isinstance(error, RepositoryNotFoundError) or status == 404:
        advice = "check the name, and that your token may see it"
    elif status == 403:
        advice = (
            "your token may not write there, or an upload address expired; run the same command "
            "again with a token that may write, and it continues"
        )
    else:
        advice = "run the same command again to continue; what has arrived is not sent again"
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"{doing} {repo_id} failed: {first} Advice: {advice}.")
