"""A page's token that outlives a restart: given by the user, and shown to nobody else."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from edgevision.errors import UsageError

VARIABLE = "EDGEVISION_TOKEN"
LEAST_CHARACTERS, LEAST_DIFFERENT = 16, 6

Token = Annotated[
    str | None,
    typer.Option(
        envvar=VARIABLE,
        show_envvar=False,
        metavar="TOKEN",
        help=f"Token of the page, {LEAST_CHARACTERS} characters or more; better in ${VARIABLE}. By default a new one "
        "each time.",
    ),
]


def shown_address(url: str, address: str, token: str | None) -> str:
    """What to open in a browser; a token that the user gave is not repeated into logs."""
    return url if token is None else f"{address}/?token=<your token>"


def take_token(token: str | None) -> str | None:
    """The token; from now on it is not in the environment that child processes are given.

    Raises `UsageError` for one that could be guessed.
    """
    os.environ.pop(VARIABLE, None)
    if token is None:
        return None
    if len(token) < LEAST_CHARACTERS or len(set(token)) < LEAST_DIFFERENT:
        raise UsageError(
            f"--token: expected at least {LEAST_CHARACTERS} characters, {LEAST_DIFFERENT} of them different, got "
            f"{len(token)}, {len(set(token))} different; for one: python -c 'import secrets; "
            "print(secrets.token_urlsafe(16))'"
        )
    return token
