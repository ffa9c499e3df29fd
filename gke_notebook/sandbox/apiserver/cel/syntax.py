"""From the text of an expression to its tree.

Source: the language definition of CEL (github.com/google/cel-spec, doc/langdef.md), with the macros that a Kubernetes
1.34 API server knows. Offsets are those that cel-go 0.26 reports: of the operator, the dot or the opening bracket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .nodes import Bind, Call, CompileError, Each, ListOf, Literal, MapOf, Name, Node, Problem, Select
from .values import UInt

MAX_DEPTH = 50
"""How deep brackets may nest."""
MAX_LENGTH = 100_000
RESERVED = frozenset(
    {
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
        "package", "namespace", "null", "return", "true", "var", "void", "while",
    }
)  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<space>[\t\n\f\r\ ]+|//[^\n]*)
    |(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n\r])*"
        |'(?:\\.|[^'\\\n\r])*'))
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>0x[0-9a-fA-F]+[uU]?|\d+[uU]?)
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<escaped>`[a-zA-Z0-9_.\-/\ ]+`)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_RAW = re.compile(r"""([rRbB]{0,2})(\"\"\"|'''|"|')(.*)\2""", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)
_PLAIN = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"',
    "`": "`", "?": "?",
}  # fmt: skip


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(source: str) -> Node:
    """Read an expression.

    Args:
        source: its text.

    Raises:
        CompileError: it is no expression.

    Example:
        >>> parse("a.b").field
        'b'
    """
    if len(source) > MAX_LENGTH:
        text = f"expression code point size exceeds limit: size: {len(source)}, limit {MAX_LENGTH}"
        raise CompileError(source[:80], [Problem(0, text)])
    return _Parser(source).whole()


def _tokens(source: str) -> list[_Token]:
    found, at = [], 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            text = f"Syntax error: token recognition error at: '{source[at]}'"
            raise CompileError(source, [Problem(at, text)])
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup or "", match[0], at))
        at = match.end()
    return [*found, _Token("end", "<EOF>", len(source))]


_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
_OPERATORS = {"in": "@in"}
_MACROS = {"all": (2, 3), "exists": (2, 3), "exists_one": (2, 3), "existsOne": (2, 3), "filter": (2,), "map": (2, 3)}
_TWO_ONLY = {"transformList", "transformMap", "transformMapEntry"}


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = _tokens(source)
        self._index = 0
        self._depth = 0

    def whole(self) -> Node:
        found = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("<EOF>")
        return found

    @property
    def _token(self) -> _Token:
        return self._tokens[self._index]

    def _next(self) -> _Token:
        token = self._tokens[self._index]
        self._index += 1
        return token

    def _is(self, *texts: str) -> bool:
        token = self._token
        return (token.kind == "sign" or token.text == "in") and token.text in texts

    def _take(self, text: str) -> bool:
        if not self._is(text):
            return False
        self._index += 1
        return True

    def _expect(self, text: str) -> _Token:
        if not self._is(text):
            raise self._unexpected(f"'{text}'")
        return self._next()

    def _fail(self, at: int, text: str) -> CompileError:
        return CompileError(self._source, [Problem(at, text)])

    def _unexpected(self, wanted: str = "") -> CompileError:
        # The real words name every token that the grammar would have allowed here.
        more = f", expecting {wanted}" if wanted else ""
        return self._fail(self._token.at, f"Syntax error: mismatched input '{self._token.text}'{more}")

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._fail(self._token.at, f"expression recursion limit exceeded: {MAX_DEPTH}")
        found = self._binary(0)
        if self._is("?"):
            at = self._next().at
            yes = self._binary(0)
            self._expect(":")
            found = Call(at, "_?_:_", (found, yes, self._expression()))
        self._depth -= 1
        return found

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        found = self._binary(level + 1)
        if level < 2:
            return self._logic(level, found)
        while self._is(*_LEVELS[level]):
            token = self._next()
            name = _OPERATORS.get(token.text, f"_{token.text}_")
            found = Call(token.at, name, (found, self._binary(level + 1)))
        return found

    def _logic(self, level: int, first: Node) -> Node:
        """Read a chain of ``&&`` or of ``||``; its tree is balanced, so that long ones are not deep."""
        (sign,) = _LEVELS[level]
        terms, places = [first], []
        while self._is(sign):
            places.append(self._next().at)
            terms.append(self._binary(level + 1))

        def tree(low: int, high: int) -> Node:
            if low == high:
                return terms[low]
            middle = (low + high + 1) // 2
            return Call(places[middle - 1], f"_{sign}_", (tree(low, middle - 1), tree(middle, high)))

        return tree(0, len(terms) - 1)

    def _unary(self) -> Node:
        signs = []
        while self._is("!", "-"):
            token = self._next()
            if token.text == "-" and self._token.kind in {"int", "float"} and self._token.at == token.at + 1:
                found = self._postfix(self._number(self._next(), "-", token.at))
                break
            signs.append(token)
            if len(signs) > MAX_DEPTH:
                raise self._fail(token.at, f"expression recursion limit exceeded: {MAX_DEPTH}")
        else:
            found = self._postfix(self._primary())
        for token in reversed(signs):
            found = Call(token.at, "!_" if token.text == "!" else "-_", (found,))
        return found

    def _postfix(self, found: Node) -> Node:
        steps = 0
        while True:
            steps += 1
            if steps > MAX_DEPTH * 2:
                raise self._fail(self._token.at, f"expression recursion limit exceeded: {MAX_DEPTH}")
            if self._is("."):
                at = self._next().at
                optional = self._take("?")
                token = self._next()
                if token.kind not in {"name", "escaped"} or token.text in {"in", "true", "false", "null"}:
                    raise self._fail(token.at, f"Syntax error: no viable alternative at input '.{token.text}'")
                if not optional and self._is("("):
                    found = self._call(found, token.text, self._next().at)
                else:
                    found = Select(at, found, token.text.strip("`"), optional=optional)
            elif self._is("["):
                at = self._next().at
                name = "_[?_]" if self._take("?") else "_[_]"
                found = Call(at, name, (found, self._expression()))
                self._expect("]")
            else:
                return found

    def _primary(self) -> Node:
        token = self._next()
        if token.kind in {"int", "float"}:
            return self._number(token, "", token.at)
        if token.kind == "string":
            return Literal(token.at, self._text(token))
        if token.kind == "name":
            return self._named(token)
        if token.kind == "sign":
            if token.text == "(":
                found = self._expression()
                self._expect(")")
                return found
            if token.text == "[":
                return self._list(token.at)
            if token.text == "{":
                return self._map(token.at)
            if token.text == "." and self._token.kind == "name":
                return self._named(self._next())
        self._index -= 1
        raise self._unexpected()

    def _named(self, token: _Token) -> Node:
        if token.text in {"true", "false"}:
            return Literal(token.at, token.text == "true")
        if token.text == "null":
            return Literal(token.at, None)
        if token.text in RESERVED:
            raise self._fail(token.at, f"reserved identifier: {token.text}")
        if self._is("("):
            return self._call(None, token.text, self._next().at)
        if self._is("{"):
            raise self._fail(self._token.at, f"undeclared reference to '{token.text}' (in container '')")
        return Name(token.at, token.text)

    def _arguments(self) -> list[Node]:
        found: list[Node] = []
        if self._take(")"):
            return found
        while True:
            found.append(self._expression())
            if self._take(")"):
                return found
            self._expect(",")

    def _list(self, at: int) -> Node:
        items: list[Node] = []
        optional = set()
        while not self._take("]"):
            if self._take("?"):
                optional.add(len(items))
            items.append(self._expression())
            if not self._is("]"):
                self._expect(",")
        return ListOf(at, tuple(items), frozenset(optional))

    def _map(self, at: int) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional = set()
        while not self._take("}"):
            if self._take("?"):
                optional.add(len(entries))
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression()))
            if not self._is("}"):
                self._expect(",")
        return MapOf(at, tuple(entries), frozenset(optional))

    def _call(self, target: Node | None, name: str, at: int) -> Node:
        arguments = self._arguments()
        if target is None and name == "has" and len(arguments) == 1:
            chosen = arguments[0]
            if not isinstance(chosen, Select) or chosen.test:
                raise self._fail(chosen.at, "invalid argument to has() macro")
            return Select(at, chosen.operand, chosen.field, test=True, optional=chosen.optional)
        if target is None:
            return Call(at, name, tuple(arguments))
        if name in {"optMap", "optFlatMap"} and len(arguments) == 2:
            return Bind(at, name, self._variable(arguments[0]), target, arguments[1])
        if len(arguments) in _MACROS.get(name, ()):
            return self._each(target, name, arguments, at)
        if name in _TWO_ONLY and len(arguments) in {3, 4}:
            first, second = self._variable(arguments[0]), self._variable(arguments[1])
            where = arguments[2] if len(arguments) == 4 else None
            return Each(at, name, target, first, arguments[-1], where, second)
        return Call(at, name, tuple(arguments), target)

    def _each(self, target: Node, name: str, arguments: list[Node], at: int) -> Node:
        macro = "exists_one" if name == "existsOne" else name
        first = self._variable(arguments[0])
        if len(arguments) == 2:
            return Each(at, macro, target, first, arguments[1])
        if macro == "map":
            return Each(at, macro, target, first, arguments[2], arguments[1])
        return Each(at, macro, target, first, arguments[2], None, self._variable(arguments[1]))

    def _variable(self, node: Node) -> str:
        if isinstance(node, Name):
            return node.name
        raise self._fail(node.at, "argument must be a simple name")

    def _number(self, token: _Token, sign: str, at: int) -> Node:
        if token.kind == "float":
            return Literal(at, float(sign + token.text))
        text = token.text
        unsigned = text[-1] in "uU"
        digits = text[:-1] if unsigned else text
        value = int(sign + digits, 16 if digits[:2] == "0x" else 10)
        if unsigned:
            if not 0 <= value < 2**64:
                raise self._fail(at, "invalid uint literal")
            return Literal(at, UInt(value))
        if not -(2**63) <= value < 2**63:
            raise self._fail(at, "invalid int literal")
        return Literal(at, value)

    def _text(self, token: _Token) -> str | bytes:
        match = _RAW.fullmatch(token.text)
        assert match is not None
        prefix, body = match[1].lower(), match[3]
        octets = "b" in prefix
        if "r" not in prefix:
            body = _ESCAPE.sub(lambda found: self._escape(found, token, octets), body)
        if octets:
            return b"".join(_OCTET.get(each) or each.encode() for each in body)
        return body

    def _escape(self, found: re.Match[str], token: _Token, octets: bool) -> str:
        text = found[1]
        if text in _PLAIN:
            return _PLAIN[text]
        if text[0] in "xX" and len(text) == 3:
            code = int(text[1:], 16)
        elif text[0] in "uU" and len(text) > 1:
            code = int(text[1:], 16)
            if octets or code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self._fail(token.at, "invalid unicode code point")
            return chr(code)
        elif len(text) == 3 and text.isdigit():
            code = int(text, 8)
        else:
            raise self._fail(token.at, "unable to unescape string")
        return chr(_OCTETS + code) if octets else chr(code)


# Octets in a text of bytes are carried through the private use area until the whole is encoded.
_OCTETS = 0xF0000
_OCTET = {chr(_OCTETS + code): bytes([code]) for code in range(256)}
