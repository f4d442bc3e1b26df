"""Turns errors of the hub, its client and the disk into messages with a fix."""

import errno
import os
import re
import shutil
from collections.abc import Iterator

from collotype.runtime.errors import UserError
from collotype.runtime.hub.cache import cached_revisions, home, is_offline
from collotype.runtime.hub.names import HubSource, endpoint

LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


class NotFetchedError(UserError):
    """It is not here, and was not asked for, since nothing was to be asked; a run fetches it."""


def refusal(error: Exception, source: HubSource, instead: str) -> UserError:
    """The error as one sentence with the next step.

    Args:
        instead: what to do with a copy of the files, for whom the hub cannot serve.
    """
    from huggingface_hub import errors

    chain = list(causes(error))
    for cause in chain:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        match cause:
            case UserError():
                return cause
            case errors.GatedRepoError():
                return UserError(gated(source, status))
            case errors.RevisionNotFoundError():
                return UserError(no_revision(source))
            case errors.DisabledRepoError():
                return UserError(f"The hub has disabled {source} ({source.page}); {instead}.")
            case errors.RemoteEntryNotFoundError():
                return UserError(
                    f"{capital(source)} lists a file that is missing; look at {source.page}, or {instead}."
                )
            case errors.RepositoryNotFoundError():
                return UserError(not_found(source))
            case errors.HFValidationError():
                return UserError(f"{source.repository} is not a valid repository name; correct it.")
            case errors.HfHubHTTPError() if status == 401:
                return UserError(wrong_token())
            case errors.HfHubHTTPError() if status == 403:
                return UserError(
                    f"The hub denies this login access to {source} ({source.page}): a fine-grained token must list "
                    f"this repository; otherwise {LOG_IN}, with an account that has access."
                )
            case errors.HfHubHTTPError() if status == 429:
                return UserError(
                    f"The hub limits requests from this address and refuses {source} for a while; try again in some "
                    f"minutes. Logged-in users have a higher limit ({LOG_IN})."
                )
            case OSError(errno=errno.ENOSPC):
                return no_room(source, None)
            case PermissionError():
                return UserError(
                    f"{home()}, the hub's cache, cannot be written ({cause}); set HF_HOME to a folder that you can "
                    "write to."
                )
    return UserError(unreachable(source, chain[-1], instead))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def capital(source: HubSource) -> str:
    return str(source)[0].upper() + str(source)[1:]


def gated(source: HubSource, status: int | None) -> str:
    if status == 401:
        return (
            f"{capital(source)} is gated, and nobody is logged in here: accept its licence at {source.page}, then "
            f"{LOG_IN}, and try again."
        )
    return (
        f"{capital(source)} is gated, and the logged-in account has no access to it: accept its licence at "
        f"{source.page}, and wait if access must be approved; a fine-grained token must be allowed to read gated "
        "repositories."
    )


def not_found(source: HubSource) -> str:
    from huggingface_hub import get_token

    login = "the logged-in account may not read it" if get_token() else f"nobody is logged in here ({LOG_IN})"
    return (
        f"There is no folder {source.repository} here, and on the hub no {source.kind} of that name, or it is private "
        f"and {login}; check the path, or the name at {source.page}."
    )


def wrong_token() -> str:
    named = next((name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)), None)
    where = f"the token in {named}" if named else "the token that `hf auth login` saved"
    mend = f"correct or unset {named}" if named else "log in with it again"
    return f"The hub does not accept {where} (revoked, or not copied completely); {mend}, and try again."


def no_revision(source: HubSource) -> str:
    from huggingface_hub import HfApi

    try:
        refs = HfApi(endpoint=endpoint()).list_repo_refs(source.repository, repo_type=source.kind)
        named = [ref.name for ref in (*refs.branches, *refs.tags)]
        there = f"it has {', '.join(named[:12])}{' …' if len(named) > 12 else ''}, and commits by all 40 digits"
    except Exception:  # whatever keeps the list back, the missing revision is what matters
        there = f"{source.page} has those there are"
    return f"The {source.kind} {source.repository} has no revision {source.revision}; {there}: name one of them."


def unreachable(source: HubSource, cause: BaseException, instead: str) -> str:
    # the address is the client's, not one that a person would open
    why = re.sub(r" for url '.*?'", "", str(cause).strip().split("\n")[0].rstrip(".")) or type(cause).__name__
    said = "HF_HUB_OFFLINE is set" if is_offline() else f"{endpoint()} cannot be reached: {why}"
    mend = "unset it" if is_offline() else "check the network, or try again later"
    return (
        f"{capital(source)} is not complete on this machine and cannot be downloaded ({said}), {in_cache(source)}; "
        f"{mend}, or {instead}."
    )


def in_cache(source: HubSource) -> str:
    found = cached_revisions(source)
    return f"and the cache in {home()} has " + (f"some of it at {', '.join(found)}" if found else "nothing of it")


def require_room(source: HubSource, wanted: int) -> None:
    """
    Args:
        source: of the wanted bytes, or of most of them.

    Raises:
        UserError: the disk of the cache has no room for so many bytes.
    """
    if wanted and wanted > free():
        raise no_room(source, wanted)


def free() -> int:
    place = next(path for path in (home(), *home().parents) if path.exists())
    return shutil.disk_usage(place).free


def no_room(source: HubSource, wanted: int | None) -> UserError:
    needs = f"needs {in_bytes(wanted)}" if wanted else "does not fit"
    return UserError(
        f"{capital(source)} {needs} on the disk of the hub's cache {home()}, where {in_bytes(free())} are free; free "
        "some space, or set HF_HOME to a folder on a larger disk."
    )


def in_bytes(count: int) -> str:
    """8.3 GB, in powers of ten as the hub's pages have it."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def not_fetched(source: HubSource, instead: str) -> NotFetchedError:
    return NotFetchedError(
        f"{capital(source)} is not on this machine yet; a run downloads it from the hub. For an offline run, {instead}."
    )
