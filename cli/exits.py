"""How a command ends: one exit code for each thing a script may want to do next, and a sentence for people."""

from __future__ import annotations

from enum import IntEnum

import click


class Exit(IntEnum):
    OK = 0
    FAILED = 1  # the job failed, was canceled or expired; a batch holds rows that did not succeed, or would not
    USAGE = 2  # the command line, a setting or a local file is wrong
    UNREACHABLE = 3  # no server answers there, or it is unable to (5xx)
    REFUSED = 4  # the server refused the request (4xx)
    NOT_FOUND = 5  # the server has no such job, batch or pipeline
    NOT_OVER = 6  # the time given to --wait passed first; the job goes on
    INTERRUPTED = 130  # Ctrl-C, as shells have it; a job or a batch that was being watched goes on


EXIT_CODES = """\b
Exit codes:
  0  done as asked
  1  the job failed, or rows of the batch did not succeed, or would not
  2  the command line, a setting or a file is wrong
  3  no server answers there, or it cannot answer now
  4  the server refused the request
  5  the server has no such job, batch or pipeline
  6  not over within the time given to --wait; it goes on
  130  Ctrl-C while a job or a batch was watched; it goes on
"""


class Unreachable(click.ClickException):
    exit_code = Exit.UNREACHABLE


class Broken(Unreachable):
    """A server was there, and the connection to it ended before its answer did."""


class Refused(click.ClickException):
    exit_code = Exit.REFUSED


class NotFound(click.ClickException):
    exit_code = Exit.NOT_FOUND
