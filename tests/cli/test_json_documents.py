"""Every document of `--json` says its version: programs read them, and a change of meaning needs another number."""

import ast
from collections.abc import Iterator
from pathlib import Path

import lakegate

ROOT = Path(lakegate.__file__).parent
VERSIONED_ELSEWHERE = {
    "story.document()": "lakegate/story.py",
    "report.model_dump(mode='json')": "the quarantine report itself",
}


def _calls() -> Iterator[tuple[str, ast.Module, ast.expr]]:
    for path in sorted(ROOT.rglob("*.py")):
        module = ast.parse(path.read_text())
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print_json":
                yield f"{path.relative_to(ROOT)}:{node.lineno}", module, node.args[0]


def _says_version(said: ast.AST, module: ast.Module) -> bool:
    """Whether the expression, or a function of the module that makes it, writes the version."""
    if ast.unparse(said) in VERSIONED_ELSEWHERE or "'version': 1" in ast.unparse(said):
        return True
    called = {n.func.id for n in ast.walk(said) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    made = [n for n in module.body if isinstance(n, ast.FunctionDef) and n.name in called]
    return any(_says_version(one, module) for one in made)


def test_every_document_says_its_version() -> None:
    calls = list(_calls())
    assert len(calls) > 30
    assert [where for where, module, said in calls if not _says_version(said, module)] == []
