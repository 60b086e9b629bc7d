"""The command line: words, files, progress and exit codes; one file a command."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module

from upramp.cli.common import complain
from upramp.exceptions import UprampError

__all__ = ["main"]

COMMANDS = (
    *("demo", "ls", "ramp", "flag", "refs", "cal", "fix", "compare", "sky"),
    *("ccd", "cosmics", "stack", "simulate"),
)

EXIT_CODES = """\
exit codes: 0 good, 1 internal error, 2 usage, 3 input unusable, 4 reference file missing,
5 network or archive, 6 batch finished with failures, 7 flag --fail-on-tvb found some,
130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command and options; default those of the process.

    Returns
    -------
    int
        0 good, 1 internal, 2 usage, 3 input unusable, 4 reference file missing, 5 network or archive,
        6 batch finished with failures, 7 ``flag --fail-on-tvb`` found some, 130 interrupted.
    """
    parser = _parser()
    # What is imported stays: not worth looking through again whenever a file's headers make new objects.
    gc.freeze()
    args = parser.parse_args(arguments)
    try:
        with _log_to(args.log) if getattr(args, "log", None) else nullcontext():
            return int(args.run(args))
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone: nothing is left to say.
        sys.stderr.close()
        return 0
    except Exception as error:
        complain(describe(error))
        return exit_code(error)


@contextmanager
def _log_to(path: str) -> Iterator[None]:
    """Records of the package go to a file as well; a caller that goes on has its loggers as they were."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("upramp")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def exit_code(error: BaseException) -> int:
    """Exit code for what went wrong.

    Parameters
    ----------
    error : BaseException
        What a command raised.
    """
    if isinstance(error, UprampError):
        return error.exit_code
    if isinstance(error, (ValueError, TypeError)):
        return 2
    if isinstance(error, OSError):
        return 3
    return 1


def describe(error: BaseException) -> str:
    """One line that says what went wrong.

    Parameters
    ----------
    error : BaseException
        What a command raised.
    """
    if exit_code(error) == 1:
        return f"internal error: {type(error).__name__}: {error}; please report it"
    return str(error)


def _parser() -> argparse.ArgumentParser:
    from upramp import __version__

    parser = argparse.ArgumentParser(
        prog="upramp",
        description="Infrared exposures, read by read: fits, cosmic rays and variable background.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"upramp {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"upramp.cli.{name}")
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser
