"""The house rules of the design, section 4: sizes, names, where codes and broad excepts may stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ime_gateway", "addin_sim", "webui")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "lib", "manager"}
TOP_LEVEL = {
    "pyproject.toml", "ime_gateway", "addin_sim", "webui", "tests", "config", "README.md", "Makefile", ".ci",
    "bench", "docs", "CHANGELOG.md", "LICENSE", "requirements.lock", ".gitignore",
}  # fmt: skip
EDGES = {"ime_gateway/smtp/session.py", "ime_gateway/smtp/mail_dialogue.py", "ime_gateway/pipeline/deliver.py"}
KEEPERS = {"ime_gateway/store/group_commit.py"}
"""The group commit keeps an error for the caller it belongs to, instead of losing it with the others'."""
REPLY_LITERAL = re.compile(r"^[2-5]\d\d[ -]|^[245]\.\d{1,3}\.\d{1,3}(?![.\d])")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_are_sources() -> None:
    assert len(SOURCES) > 60


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_file_size_and_name(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
    assert not FORBIDDEN_NAMES & set(path.stem.split("_"))
    assert not FORBIDDEN_NAMES & set(path.relative_to(ROOT).parts[:-1])


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_functions_are_small(path: Path) -> None:
    for function in functions(parsed(path)):
        body = function.body
        first = body[1] if ast.get_docstring(function) and len(body) > 1 else body[0]
        length = (function.end_lineno or 0) - first.lineno + 1
        assert length <= 60, f"{function.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_open_with_their_purpose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "the first sentence says why the module exists"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_broad_excepts_stand_only_at_the_edges(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"bare"}
            broad = names & {"Exception", "bare"} or (
                "BaseException" in names and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            )
            assert not broad or relative(path) in EDGES, f"line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_swallows_every_error_in_disguise(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "suppress":
            names = {name.id for argument in node.args for name in ast.walk(argument) if isinstance(name, ast.Name)}
            assert not names & {"Exception", "BaseException"}, f"line {node.lineno}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in ("__exit__", "__aexit__"):
            swallows = any(isinstance(inner, ast.Return) and inner.value is not None for inner in ast.walk(node))
            assert not swallows or relative(path) in KEEPERS, f"line {node.lineno}"


CORE = ("policy", "ime", "keys", "smime", "certs", "mail")


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parent.name in CORE], ids=relative)
def test_the_core_reads_no_file_and_no_clock(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in ("open", "now", "utcnow", "today", "urandom", "getenv"), f"line {node.lineno}: {name}"


@pytest.mark.parametrize("path", [path for path in SOURCES if relative(path).startswith("ime_gateway/")], ids=relative)
def test_adapters_are_built_at_the_roof(path: Path) -> None:
    if relative(path).startswith("ime_gateway/app/"):
        return
    adapters = {"open_store", "OutboundRelay", "DnsExchangers", "Listener", "Deliverer", "Receiver"}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in adapters, f"line {node.lineno}: {node.func.id}"


@pytest.mark.parametrize("path", [path for path in SOURCES if relative(path).startswith("ime_gateway/")], ids=relative)
def test_reply_codes_stand_in_one_file(path: Path) -> None:
    if relative(path) in ("ime_gateway/smtp/replies.py", "ime_gateway/mail/delivery_report.py"):
        return
    tree = parsed(path)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            assert not (isinstance(value, str) and REPLY_LITERAL.match(value)), f"line {node.lineno}: {value!r}"


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in SOURCES} | {ROOT / name for name in ("tests", "bench", "config", "docs")}),
    ids=relative,
)
def test_folders_say_what_lives_there(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert 1 <= len(text.splitlines()) <= 60


def test_nothing_else_at_the_top() -> None:
    ignored = {line.strip("/\n ") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()}
    present = {
        path.name
        for path in ROOT.iterdir()
        if path.name not in ignored and not path.match("*.egg-info") and path.name != ".git"
    }
    assert present <= TOP_LEVEL


def test_the_lock_names_no_host_and_pins_every_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "http" not in text and "--index" not in text and "--find-links" not in text
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if re.match(r"[a-z0-9].*==", block):
            assert "--hash=sha256:" in block, block.splitlines()[0]
