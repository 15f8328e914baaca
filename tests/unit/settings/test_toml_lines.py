"""The line of each key, in TOML as awkward as the standard allows."""

import tomllib

import pytest

from ime_gateway.settings.toml_lines import LineIndex

AWKWARD = '''\
a = """x
[[no]]
b = 1
"""
[b.c] # [[comment]]
d = [ # ]
 1, {x = "]"},

]
e.f = '#['
"quoted \\" key" = 1
[[g]]
h = """"""
i = 1
[[g]]
  h = \'\'\'
]
\'\'\'
[g.sub]
z = {y = [1,
2]}
[[g.inner]]
k = 1
[[g.inner]]
k = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("b", "c"), 5),
        (("b", "c", "d"), 6),
        (("b", "c", "d", 1, "x"), 6),
        (("b", "c", "e", "f"), 10),
        (("g", 0), 12),
        (("g", 0, "i"), 14),
        (("g", 1, "h"), 16),
        (("g", 1, "missing"), 15),
        (("g", 1, "sub", "z"), 20),
        (("g", 1, "inner", 1, "k"), 25),
        (("nowhere",), 1),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(AWKWARD)
    assert LineIndex.of(AWKWARD).find(path) == line
    assert LineIndex.of(AWKWARD.replace("\n", "\r\n")).find(path) == line


def test_large_files() -> None:
    text = '[[certificate]]\nfile = "certs/a.pem"\naddresses = ["a@acme.example"]\n\n' * 50_000
    assert LineIndex.of(text).find(("certificate", 49_999, "addresses")) == 199_999
