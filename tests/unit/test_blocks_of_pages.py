"""Each fenced block of README and docs is run by a test, or stands here with the reason why not."""

import ast
import shlex
import tomllib
from importlib.metadata import version

import pytest

from tests.support.pages import PAGES, ROOT, Block, blocks

README = "e2e/test_readme.py"
CLIENTS = "e2e/test_clients_page.py"
CONTRIBUTING = "e2e/test_contributing_page.py"
RUN_BY = {
    "README.md#Start": "unit/test_docs.py::test_make_runs_the_commands_that_tests_run",
    "README.md#In the terminal": f"{README}::test_the_terminal_lists_the_runs",
    "README.md#In a browser": "unit/test_docs.py::test_make_runs_the_commands_that_tests_run",
    "README.md#Look around with grpcurl": (
        f"{README}::test_the_calls_work_and_the_watch_shows_them"
    ),
    "README.md#A robot of your own": f"{README}::test_the_robot_drives_a_run_and_ends_at_sigterm",
    "README.md#With servers of your own": "e2e/test_given_servers.py::test_migrate_then_serve",
    "README.zh.md": f"{README}::test_what_is_pasted_is_the_same_in_both_languages",
    "client/README.md": f"{CLIENTS}::test_the_program_of_the_client_s_own_readme",
    "docs/clients.md#Python": f"{CLIENTS}::test_python",
    "docs/clients.md#Without an event loop": f"{CLIENTS}::test_python_without_an_event_loop",
    "docs/clients.md#Errors": f"{CLIENTS}::test_python_errors",
    "docs/clients.md#Watches": f"{CLIENTS}::test_python_watches",
    "docs/clients.md#TLS and tokens": f"{CLIENTS}::test_python_tls_and_tokens",
    "docs/clients.md#TypeScript": f"{CLIENTS}::test_typescript",
    "docs/clients.md#Other languages": f"{CLIENTS}::test_the_archive_is_unpacked",
    "docs/clients.md#Java": f"{CLIENTS}::test_a_compiler",
    "docs/clients.md#Go": f"{CLIENTS}::test_a_compiler",
    "docs/clients.md#C#": f"{CLIENTS}::test_a_compiler",
    "docs/clients.md#C++": f"{CLIENTS}::test_a_compiler",
    "docs/clients.md#Python, without the package of this project": (
        f"{CLIENTS}::test_python_without_the_package"
    ),
    "docs/clients.md#Node, without generated code": f"{CLIENTS}::test_node",
    "docs/clients.md#A tool that takes a FileDescriptorSet": f"{CLIENTS}::test_a_descriptor_set",
    "docs/clients.md#Discovery": f"{CLIENTS}::test_discovery",
    "docs/clients.md#Several replicas": f"{CLIENTS}::test_the_service_config_of_other_languages",
    "docs/contributing.md#Set up": "unit/test_docs.py::test_each_target_of_make_is_explained",
    "docs/contributing.md#On servers of your own": f"{CONTRIBUTING}::test_servers_of_your_own",
    "docs/contributing.md#Pages": f"{CONTRIBUTING}::test_the_pages_are_served",
    "docs/definitions.md": ("e2e/test_definitions_page.py::test_the_calls_work_as_they_are_pasted"),
    "docs/errors.md": "e2e/test_errors_example.py::test_it_tells_a_missing_run_from_other_errors",
    "docs/executors.md": "e2e/test_executors_page.py::page",
    "docs/grpcurl.md": "e2e/test_grpcurl_page.py::test_the_recipes_work_as_they_are_pasted",
    "docs/index.md": f"{README}::test_the_pages_begin_as_the_readme",
    "docs/operations.md#PgBouncer": (
        "integration/edge/test_pgbouncer.py::test_it_works_by_name_alone"
    ),
    "docs/reports.md": "e2e/test_reports_page.py::test_failed_runs_with_failed_blocks",
    "docs/security.md#Clients": (
        "integration/edge/test_security_page.py::test_it_calls_with_tls_and_a_token"
    ),
    "docs/security.md#The audit": "integration/edge/test_audit.py::test_a_line_has_all_of_it",
    "docs/terminal.md": "integration/terminal/test_terminal_page.py::test_each_does_what_it_says",
    "docs/testing.md#With pytest": "e2e/test_testing.py::test_a_test_file_has_a_service",
    "docs/testing.md#Without pytest": (
        "e2e/test_testing.py::test_a_program_has_a_service_while_it_is_entered"
    ),
}
"""A page, or a section of one -> below tests/, the test that fails if a block there is wrong, or if
there is a block more."""
NOT_RUN = {
    "docs/architecture.md#Architecture": "is a drawing",
    "client/README.md#vwed-client": "installs packages; see below what it may name",
    "docs/console.md#The console": "the same; every test of the console starts it",
    "docs/testing.md#Testing": "the same",
    "docs/contributing.md#Mutants": "takes hours, in an environment of its own",
    "docs/contributing.md#Versions of the libraries": "installs all packages anew, from the index",
}
ALL = [block for page in PAGES for block in blocks(page)]


def places(block: Block) -> set[str]:
    return {block.page, f"{block.page}#{block.section}"}


def test_each_is_run_or_has_a_reason_not_to_be() -> None:
    known = RUN_BY.keys() | NOT_RUN.keys()
    assert [block for block in ALL if not places(block) & known] == []
    assert known - {place for block in ALL for place in places(block)} == set()


@pytest.mark.parametrize("test", sorted({*RUN_BY.values()}))
def test_whoever_runs_it_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text())
    assert name in {getattr(node, "name", "") for node in tree.body}


def test_what_is_installed_by_hand_is_ours_or_is_what_tests_have() -> None:
    files = (ROOT / "pyproject.toml", ROOT / "client" / "pyproject.toml")
    projects = [tomllib.loads(file.read_text())["project"] for file in files]
    ours = {each["name"]: each.get("optional-dependencies", {}) for each in projects}
    lines = {line for block in ALL for line in block.text.splitlines()}
    found = [line for line in lines if line.startswith("pip install ")]
    assert len(found) == 4
    for requirement in (word for line in found for word in shlex.split(line)[2:]):
        name, _, extra = requirement.removesuffix("]").partition("[")
        assert extra in {"", *ours[name]} if name in ours else version(name), requirement
