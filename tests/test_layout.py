"""The repository's own rules, checked: who may import whom, what is installed, names of files."""

import ast
import configparser
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(path for folder in ("chatd", "protocol") for path in (ROOT / folder).rglob("*.py"))
DRIVERS = {
    "asyncpg": "_postgres",
    "cassandra": "_cassandra",
    "redis": "_redis",
    "hiredis": "_redis",
    "rq": "_rq",
    "sqlite3": "_sqlite",
    "aiokafka": "_kafka",
    "aiohttp": "_aiohttp",
}
# A layer may import itself and those before it; `app` and `cli` put the layers together.
LAYERS = [
    "protocol",
    "base",
    "stores",
    "fabric",
    "delivery",
    "services",
    "dispatch",
    "doors",
    "app",
]
LAYER_OF = {
    "chatd.stores": "stores",
    "chatd.fabric": "fabric",
    "chatd.delivery": "delivery",
    "chatd.services": "services",
    "chatd.dispatch": "dispatch",
    "chatd.edge": "doors",
    "chatd.api": "doors",
    "chatd.app": "app",
    "chatd.app_backends": "app",
    "chatd.app_embedded": "app",
    "chatd.supervisor": "app",
    "chatd.jobs": "app",
    "chatd.worker": "app",
    "chatd.node": "app",
    "chatd.cli": "app",
    "chatd.demo": "app",
    "chatd.config": "app",
    "chatd.config_rules": "app",
    "chatd.data_dir": "app",
    "chatd.__main__": "app",
}
NOBODYS_NAMES = {
    "utils",
    "helpers",
    "common",
    "misc",
    "types",
    "queue",
    "redis",
    "cassandra",
    "logging",
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, at_run_time: bool = False) -> set[str]:
    """What a module imports; with `at_run_time`, without what only a type checker sees."""
    tree = ast.parse(path.read_text())
    unseen: set[ast.AST] = set()
    if at_run_time:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                unseen.update(ast.walk(node))
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(module: str) -> str | None:
    if module.split(".")[0] == "protocol":
        return "protocol"
    for prefix, layer in LAYER_OF.items():
        if module == prefix or module.startswith(prefix + "."):
            return layer
    return "base" if module.split(".")[0] == "chatd" else None


def test_schema_folders_hold_no_python() -> None:
    assert not [*(ROOT / "sql").rglob("*.py"), *(ROOT / "cassandra").rglob("*.py")]


def test_every_package_on_disk_is_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = {name for name in config["options"]["packages"].split() if "._schema" not in name}
    assert listed == {module_of(path) for path in CODE if path.name == "__init__.py"}


def test_every_folder_of_code_is_a_package() -> None:
    assert not [path for path in CODE if not (path.parent / "__init__.py").exists()]


@pytest.mark.parametrize("path", CODE, ids=module_of)
def test_a_driver_is_imported_only_by_its_adapters(path: Path) -> None:
    for driver in {name.split(".")[0] for name in imports(path)} & DRIVERS.keys():
        assert path.stem.endswith(DRIVERS[driver]), (
            f"{driver} belongs in a file named *{DRIVERS[driver]}.py"
        )


@pytest.mark.parametrize("path", CODE, ids=module_of)
def test_imports_run_in_one_direction(path: Path) -> None:
    own = layer_of(module_of(path))
    assert own is not None
    for name in imports(path, at_run_time=True):
        other = layer_of(name)
        if other is not None:
            assert LAYERS.index(other) <= LAYERS.index(own), (
                f"{own} must not import {name} ({other})"
            )


@pytest.mark.parametrize("path", CODE, ids=module_of)
def test_adapters_are_chosen_only_by_the_composition_root(path: Path) -> None:
    if (
        path.stem in ("app", "app_backends", "app_embedded", "worker")
        or path.stem.endswith(tuple(DRIVERS.values()))
        or path.stem.endswith("_memory")
    ):
        return
    for name in imports(path):
        chosen = name.split(".")[-1] if name.split(".")[0] == "chatd" else ""
        assert not chosen.endswith((*DRIVERS.values(), "_memory")), f"only app.py picks {name}"


@pytest.mark.parametrize("path", CODE, ids=module_of)
def test_only_the_configuration_reads_the_environment(path: Path) -> None:
    names = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    if "os.environ" in names or "os.getenv" in names:
        assert module_of(path) == "chatd.cli", (
            "the command line hands the environment to config.load"
        )


@pytest.mark.parametrize("path", CODE, ids=module_of)
def test_modules_have_telling_names_and_a_purpose(path: Path) -> None:
    assert path.stem not in NOBODYS_NAMES
    assert ast.get_docstring(ast.parse(path.read_text())), (
        "the first lines say what the file is for"
    )


def test_configuration_of_the_tools_is_where_it_belongs() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject.keys() == {"build-system", "tool"} and pyproject["tool"].keys() == {"ruff"}
