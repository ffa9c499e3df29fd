"""From a magic's line to its options: one POSIX split, Python variables, exact option words, one-line errors."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from IPython.core.error import UsageError

from gke_notebook.errors import nearest

# `$$`, `$name`, `$name.attribute`, `${name}`; any other dollar sign stands for itself.
_VARIABLE = re.compile(r"\$(?:(\$)|\{([^{}]*\}?)|([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*))")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ONE_OF_THESE = (str, int, float)  # what `$name` may hold


class HelpWanted(Exception):  # noqa: N818 - not an error
    """The user asked for the manual."""


class Parser(argparse.ArgumentParser):
    """Exact options, no abbreviations, and a `UsageError` of one line for whatever is wrong.

    Args:
        prog: the magic with its percent signs, as errors name it.
        description: what it does.
        epilog: examples, shown as written.
    """

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog or None,
            formatter_class=_Formatter,
            add_help=False,
            allow_abbrev=False,
        )
        self.color = False  # Python 3.14 would colour the manual, which is also a docstring
        self.add_argument("--help", "-h", action=_Help, help="show this manual")

    def error(self, message: str) -> NoReturn:
        """Raise the error of one line.

        Args:
            message: what argparse says.
        """
        fail(f"{self.prog}: {_reworded(message)}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Never end the kernel.

        Args:
            status: the exit status argparse wants.
            message: its message.
        """
        fail(f"{self.prog}: {message or f'stopped with status {status}'}")

    def words(self) -> tuple[str, ...]:
        """Give every option word."""
        return tuple(word for action in self._actions for word in action.option_strings)

    def option(self, word: str) -> argparse.Action | None:
        """Give the option with a word, None when there is none.

        Args:
            word: for example ``--nodes``.
        """
        return self._option_string_actions.get(word)

    def positionals(self) -> tuple[argparse.Action, ...]:
        """Give the positional arguments in order."""
        return tuple(action for action in self._actions if not action.option_strings)


class _Help(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_: object) -> NoReturn:
        raise HelpWanted


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        # A fixed width: the manual must not depend on the terminal in which the kernel was started.
        super().__init__(prog, max_help_position=28, width=110)


def fail(message: str) -> NoReturn:
    """Raise exactly IPython's `UsageError`, whose text IPython shows as one line without a traceback.

    Args:
        message: the text; line breaks become spaces.
    """
    raise UsageError(" ".join(message.split())) from None


def parse(parser: Parser, line: str, variables: Mapping[str, Any]) -> argparse.Namespace:
    """Read a magic's line.

    Args:
        parser: the magic's parser.
        line: what stands after the magic's name.
        variables: the notebook's variables, for ``$name``.

    Raises:
        UsageError: anything is wrong with the line.
        HelpWanted: ``--help`` was given.
    """
    try:
        tokens = shlex.split(line, posix=True)
    except ValueError as error:
        said = {
            "No closing quotation": "a quotation mark is not closed",
            "No escaped character": "it ends in a backslash",
        }
        fail(f"{parser.prog}: {said.get(str(error), str(error))} in: {line.strip()}")
    if "--help" in tokens or "-h" in tokens:
        raise HelpWanted
    _check_words(parser, tokens)
    expanded = list(_expand_all(parser, tokens, variables))
    try:
        return parser.parse_args(expanded)
    except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
        parser.error(str(error))


def _check_words(parser: Parser, tokens: Sequence[str]) -> None:
    """Refuse an unknown option with the nearest known one, before argparse takes its value for something else."""
    known = parser.words()
    for token in tokens:
        word = token.split("=", 1)[0]
        if word.startswith("--") and word not in known:
            if word == "--":
                fail(f"{parser.prog}: '--' means nothing here")
            fail(f"{parser.prog}: no option {word}; {nearest(word, [one for one in known if one.startswith('--')])}")
        if re.fullmatch(r"-[A-Za-z].*", token):
            fail(f"{parser.prog}: no option {word}; options start with two dashes")


def _expand_all(parser: Parser, tokens: Sequence[str], variables: Mapping[str, Any]) -> Iterator[str]:
    waiting: argparse.Action | None = None  # an option whose value is the next token
    for token in tokens:
        word, equals, rest = token.partition("=")
        option = parser.option(word)
        if option is not None and waiting is not None:
            yield waiting.option_strings[0]  # without a value: argparse says so
            waiting = None
        if option is not None and option.nargs != 0 and (equals or waiting is None):
            if not equals:
                waiting = option
                continue
            # As one word, so that a value may start with a dash.
            yield from (f"{word}={value}" for value in _values(parser, rest, variables, option))
        elif option is not None:
            yield token
        elif waiting is not None:
            yield from (f"{waiting.option_strings[0]}={value}" for value in _values(parser, token, variables, waiting))
            waiting = None
        else:
            for value in _values(parser, token, variables, None):
                if value != token and value.startswith("-"):
                    fail(f"{parser.prog}: {token} is {value!r}, which reads like an option")
                yield value
    if waiting is not None:
        yield waiting.option_strings[0]


def _values(parser: Parser, token: str, variables: Mapping[str, Any], option: argparse.Action | None) -> Iterator[str]:
    match = _VARIABLE.fullmatch(token)
    if match is None or match.group(1):
        yield _VARIABLE.sub(lambda found: _text(parser, found, variables), token)
        return
    value = _lookup(parser, match, variables)
    if _repeatable(option) and isinstance(value, (dict, list, tuple)):
        # `--env $settings` with a dict and `--include $files` with a list give the option once for each.
        items = [f"{key}={item}" for key, item in value.items()] if isinstance(value, dict) else [str(i) for i in value]
        if not items:
            fail(f"{parser.prog}: {token} is empty")
        yield from items
        return
    yield _as_text(parser, match, value)


def _repeatable(option: argparse.Action | None) -> bool:
    return option is not None and type(option).__name__ == "_AppendAction"


def _text(parser: Parser, match: re.Match[str], variables: Mapping[str, Any]) -> str:
    if match.group(1):
        return "$"
    return _as_text(parser, match, _lookup(parser, match, variables))


def _as_text(parser: Parser, match: re.Match[str], value: object) -> str:
    import os

    if isinstance(value, os.PathLike):
        return os.fsdecode(os.fspath(value))
    if isinstance(value, bool) or not isinstance(value, _ONE_OF_THESE):
        if hasattr(value, "item") and getattr(value, "shape", None) == ():
            return str(value.item())  # a NumPy scalar
        fail(f"{parser.prog}: {match.group(0)} is a {type(value).__name__}; a string or a number is wanted here")
    return str(value)


def _lookup(parser: Parser, match: re.Match[str], variables: Mapping[str, Any]) -> Any:
    braced = match.group(2)
    path = match.group(3) if braced is None else braced.removesuffix("}").strip() if braced.endswith("}") else ""
    if _DOTTED.fullmatch(path) is None:
        fail(f"{parser.prog}: {match.group(0)!r} names no variable; write $name, or $$ for a dollar sign")
    name, *attributes = path.split(".")
    if name not in variables:
        visible = [known for known in variables if isinstance(known, str) and not known.startswith("_")]
        said = nearest(name, visible)
        hint = f"; {said}" if said.startswith("did you") else ""
        fail(f"{parser.prog}: no variable {name!r} for {match.group(0)}{hint} ($$ stands for a dollar sign)")
    value = variables[name]
    for attribute in attributes:
        try:
            value = getattr(value, attribute)
        except Exception as error:  # a property of the user's own object may raise anything
            fail(f"{parser.prog}: {match.group(0)}: {type(error).__name__}: {error}")
    return value


# What argparse says (Python 3.10 to 3.14), put into words that name what to write.
_REWORDED: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"argument (\S+): expected one argument", lambda m: f"{m[1].split('/')[0]} needs a value"),
    (r"the following arguments are required: (.+)", lambda m: f"{m[1]} is missing"),
    (r"unrecognized arguments: (.+)", lambda m: f"what is {m[1]!r}? Options start with --; quote a value with spaces"),
    (r"argument (\S+): ignored explicit argument (.+)", lambda m: f"{m[1].split('/')[0]} takes no value ({m[2]})"),
    (r"argument (\S+): not allowed with argument (\S+)", lambda m: f"{m[1]} and {m[2]} exclude each other"),
    (r"argument (\S+): (.+)", lambda m: f"{m[1]}: {m[2]}"),
)


def _reworded(message: str) -> str:
    for pattern, say in _REWORDED:
        match = re.fullmatch(pattern, message, re.DOTALL)
        if match:
            return say(match)
    return message


def whole_number(text: str) -> int:
    """Read a whole number.

    Args:
        text: what was written.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def not_negative(text: str) -> int:
    """Read a whole number of 0 or more.

    Args:
        text: what was written.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = whole_number(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below 0")
    return number


def amount(text: str) -> float:
    """Read an amount of money or the like: a number above 0.

    Args:
        text: what was written.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) is None or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount; write for example 5 or 0.75")
    return float(text)


def seconds(text: str) -> float:
    """Read a duration: a number of seconds, or with a unit s, m or h.

    Args:
        text: for example ``90``, ``90s``, ``10m``, ``1h30m``.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        return float(text)
    match = re.fullmatch(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?", text)
    if match is None or not text:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write seconds, or 90s, 10m, 1h30m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + rest)


def assignment(text: str) -> tuple[str, str]:
    """Read an environment variable.

    Args:
        text: ``KEY=VALUE``.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    key, equals, value = text.partition("=")
    if not equals or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE")
    return key, value


@dataclass(frozen=True)
class Magic:
    """One magic: how it is written, what it takes, where it is done.

    Args:
        name: without percent signs.
        kind: ``line``, or ``line_cell`` when it can stand above a cell.
        parser: gives its parser.
        module: the module whose function `run` does it.
    """

    name: str
    kind: str
    parser: Callable[[], Parser]
    module: str
