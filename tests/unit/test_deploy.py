"""What is deployed: the files of deploy/ agree with each other and with the program."""

import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]  # has no types

from tests.support.wheels import built, kept, packed
from vwed_grpc.cli.main import main
from vwed_grpc.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
FILES = sorted([*DEPLOY.rglob("*.y*ml"), DEPLOY / "Dockerfile"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    named = {*re.findall(r"\bVWED_([A-Z_]+)\b", path.read_text())} - {"POSTGRES_PASSWORD"}
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def pins(path: Path) -> dict[str, str]:
    """Each pinned version with its hashes."""
    found = re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.MULTILINE)[1:]
    return {
        each.split("==")[0]: each.split("    #")[0] + "".join(re.findall(r"sha256:\w+", each))
        for each in found
    }


def test_what_is_deployed_is_what_is_tested() -> None:
    tested = pins(ROOT / "requirements.lock")
    deployed = pins(DEPLOY / "requirements.lock")
    exporter = set(deployed) - set(tested)
    assert all(re.match("opentelemetry|grpcio|googleapis|protobuf|typing", n) for n in exporter)
    assert {name: pin for name, pin in deployed.items() if name in tested}.items() <= tested.items()
    assert "pytest" not in deployed


def manifests(kind: str) -> Any:
    (found,) = (
        each
        for path in KUBERNETES.glob("*.yaml")
        for each in yaml.safe_load_all(path.read_text())
        if each["kind"] == kind
    )
    return found


def test_what_is_applied_is_complete() -> None:
    applied = manifests("Kustomization")["resources"]
    written = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert {"secrets.yaml", *written} == {*applied, "kustomization.yaml", "secrets.example.yaml"}
    given = {
        (each["kind"], each["metadata"]["name"]): (each.get("data") or each["stringData"]).keys()
        for each in yaml.safe_load_all((KUBERNETES / "secrets.example.yaml").read_text())
    }
    asked = defaultdict[tuple[str, str], set[str]](set)
    pod = manifests("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for variable in (each for one in (*pod["initContainers"], container) for each in one["env"]):
        if source := variable.get("valueFrom"):
            key = source["secretKeyRef"]
            asked["Secret", key["name"]].add(key["key"])
    folders = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    files = [Path(variable["value"]) for variable in container["env"] if "value" in variable]
    for volume in pod["volumes"]:
        if "emptyDir" not in volume:
            of = (
                ("Secret", volume["secret"]["secretName"])
                if "secret" in volume
                else ("ConfigMap", volume["configMap"]["name"])
            )
            asked[of] = {file.name for file in files if str(file.parent) == folders[volume["name"]]}
    assert asked == given


def test_probes_and_services_meet_the_container() -> None:
    pod = manifests("Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 50051, "metrics": 9100}
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")
    }
    assert probes == {"liveness": "/livez", "readiness": "/readyz"}
    service = manifests("Service")["spec"]
    assert service["clusterIP"] == "None"
    assert {port["targetPort"] for port in service["ports"]} <= ports.keys()
    labels = pod["metadata"]["labels"]
    assert service["selector"] == labels
    assert manifests("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace > Settings.model_fields["drain_seconds"].default + 10
    scaled = manifests("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"]
    assert scaled == manifests("Deployment")["metadata"]["name"]


def test_what_containers_run_is_a_command() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    pod = manifests("Deployment")["spec"]["template"]["spec"]
    run = [compose["migrate"]["command"], *(each["args"] for each in pod["initContainers"])]
    assert {command[0] for command in run} <= {*main.list_commands(click.Context(main))}
    assert compose["vwed"]["deploy"]["replicas"] == 2


def test_the_image_is_built_of_what_is_copied(tmp_path: Path) -> None:
    """Docker itself is not needed: its `COPY`s are done here, and the wheels built of them."""
    context = tmp_path / "context"
    context.mkdir()
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, to = line.split()
        assert {*sources} <= allowed
        for source in map(ROOT.joinpath, sources):
            if source.is_dir():
                shutil.copytree(source, context / to, symlinks=True)
            else:
                shutil.copy(source, context / to)
    (installed,) = re.findall(r"pip install .* --no-deps (?!-)(.*)$", text, re.MULTILINE)
    client, server = (
        packed(built(context / package, tmp_path / f"wheel-{number}"))
        for number, package in enumerate(installed.split())
    )
    assert client == kept(ROOT / "client", "vwed/client", "vwed/v1")
    assert server == kept(ROOT, "vwed_grpc")


def test_images_are_pinned() -> None:
    text = "".join(path.read_text() for path in FILES)
    images = {*re.findall(r"^\s*image: (\S+)", text, re.MULTILINE)}
    images |= {*re.findall(r"^FROM (\S+)", text, re.MULTILINE)}
    foreign = {image for image in images if not image.startswith("vwed-grpc")}
    assert foreign
    assert all(re.search(r":v?\d", image) for image in foreign)
