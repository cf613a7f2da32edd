"""The grammar of docs/rules.md: a rule's text as a tree of tuples.

    ("int", 3) ("float", "2.50") ("text", "a") ("time", "2026-01-31") ("bool", True) ("null",)
    ("column", name) ("call", name, [arguments]) ("steps", [predicates], "3 days")
    ("not", x) ("and", x, y) ("or", x, y) ("is", x, "TRUE") ("op", "=", x, y) ("math", "+", x, y) ("minus", x)
    ("in", x, [items]) ("between", x, low, high) ("like", x, pattern, escape) ("case", of, [(when, then)], otherwise)

NOT IN, NOT BETWEEN, NOT LIKE and IS NOT are `not` of the plain form.
"""

import re

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
           |'(?P<text>(?:[^']|'')*)'
           |"(?P<quoted>(?:[^"]|"")*)"
           |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
           |(?P<sign><>|!=|<=|>=|=>|[-+*/=<>(),]))""",
    re.VERBOSE,
)
COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=")


def parse(text):
    """The tree of a rule."""
    parser = Parser(text)
    tree = parser.disjunction()
    if parser.kind is not None:
        raise ValueError(f"`{parser.value}` is left over in {text}")
    return tree


class Parser:
    """By recursive descent, one method a level of precedence."""

    def __init__(self, text):
        self.tokens, at, text = [], 0, text.rstrip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise ValueError(f"cannot read {text[at:]}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self.tokens.append((None, ""))
        self.at = 0

    @property
    def kind(self):
        return self.tokens[self.at][0]

    @property
    def value(self):
        return self.tokens[self.at][1]

    def take(self, *words):
        """Passes over a keyword or sign if it is one of these, and answers which."""
        if self.kind in ("word", "sign") and self.value.upper() in words:
            self.at += 1
            return self.tokens[self.at - 1][1].upper()
        return None

    def need(self, *words):
        found = self.take(*words)
        if not found:
            raise ValueError(f"`{self.value}` where {' or '.join(words)} should be")
        return found

    def disjunction(self):
        left = self.conjunction()
        while self.take("OR"):
            left = ("or", left, self.conjunction())
        return left

    def conjunction(self):
        left = self.negation()
        while self.take("AND"):
            left = ("and", left, self.negation())
        return left

    def negation(self):
        return ("not", self.negation()) if self.take("NOT") else self.test()

    def test(self):
        left = self.sum()
        while True:
            if sign := self.take(*COMPARISONS):
                left = ("op", "<>" if sign == "!=" else sign, left, self.sum())
            elif self.take("IS"):
                negated = self.take("NOT")
                left = ("is", left, self.need("NULL", "TRUE", "FALSE", "UNKNOWN"))
                left = ("not", left) if negated else left
            else:
                negated = self.take("NOT")
                found = self.membership(left)
                if found is None:
                    return left
                left = ("not", found) if negated else found

    def membership(self, left):
        if self.take("IN"):
            self.need("(")
            return ("in", left, self.list())
        if self.take("BETWEEN"):
            low = self.sum()
            self.need("AND")
            return ("between", left, low, self.sum())
        if self.take("LIKE"):
            pattern = self.primary()
            return ("like", left, pattern, self.primary() if self.take("ESCAPE") else None)
        return None

    def list(self):
        """Expressions up to the closing bracket, which is passed over."""
        items = []
        while not self.take(")"):
            if items:
                self.need(",")
            items.append(self.disjunction())
        return items

    def sum(self):
        left = self.product()
        while sign := self.take("+", "-"):
            left = ("math", sign, left, self.product())
        return left

    def product(self):
        left = self.signed()
        while sign := self.take("*", "/"):
            left = ("math", sign, left, self.signed())
        return left

    def signed(self):
        return ("minus", self.signed()) if self.take("-") else self.primary()

    def primary(self):
        if self.take("("):
            inner = self.disjunction()
            self.need(")")
            return inner
        kind, value = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return ("int", int(value)) if value.isdigit() else ("float", value)
        if kind == "text":
            return ("text", value.replace("''", "'"))
        if kind == "quoted":
            return ("column", value.replace('""', '"'))
        if kind != "word":
            raise ValueError(f"`{value}` where a value should be")
        return self.word(value)

    def word(self, value):
        upper = value.upper()
        if upper in ("TRUE", "FALSE"):
            return ("bool", upper == "TRUE")
        if upper == "NULL":
            return ("null",)
        if upper == "CASE":
            return self.case()
        if upper in ("DATE", "TIMESTAMP") and self.kind == "text":
            return ("time", self.primary()[1])
        if self.take("("):
            return self.sequence() if value.lower() == "sequence" else ("call", value.lower(), self.list())
        return ("column", value)

    def case(self):
        of = None if self.value.upper() == "WHEN" else self.disjunction()
        branches, otherwise = [], ("null",)
        while self.take("WHEN"):
            when = self.disjunction()
            self.need("THEN")
            branches.append((when, self.disjunction()))
        if self.take("ELSE"):
            otherwise = self.disjunction()
        self.need("END")
        return ("case", of, branches, otherwise)

    def sequence(self):
        """`a THEN b WITHIN '3 days', …` or `a, b, within => '3 days', …`."""
        steps, within = [self.disjunction()], None
        while within is None:
            if self.take("WITHIN"):
                within = self.primary()[1]
            elif self.take("THEN"):
                steps.append(self.disjunction())
            else:
                self.need(",")
                if self.take("WITHIN"):
                    self.need("=>")
                    within = self.primary()[1]
                else:
                    steps.append(self.disjunction())
        self.take(",")
        return ("call", "sequence", [("steps", steps, within), *self.list()])
