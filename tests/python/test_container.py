"""The compose file and the Containerfile agree, and say what `memora-srs` understands.

`make lint` lets hadolint read the Containerfile; there is no docker here that could build it.
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from docs import facts
from stage import ROOT

FOLDER = ROOT / "deploy/container"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.memora-srs.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("memora-srs", "memora-srs-worker")
BENCH = "/home/frappe/frappe-bench"
# Keys of the Compose Specification that the file may have, with the types of their values.
KEYS: dict[str, tuple[type, ...]] = {
    "command": (list,),
    "depends_on": (dict, list),
    "deploy": (dict,),
    "environment": (dict,),
    "healthcheck": (dict,),
    "image": (str,),
    "restart": (str,),
    "stop_grace_period": (str,),
    "ulimits": (dict,),
    "volumes": (list,),
}
# Services of frappe_docker beside which these stand.
OF_FRAPPE_DOCKER = {"configurator", "frontend"}


def value_of(service: str, option: str) -> str:
    """What an option of a service's command says."""
    command: list[str] = SERVICES[service]["command"]
    return command[command.index(option) + 1]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_keys_that_compose_knows(name: str) -> None:
    assert set(COMPOSE) == {"services"}
    for key, value in SERVICES[name].items():
        assert isinstance(value, KEYS[key]), f"{name}: {key}"
    known = OF_FRAPPE_DOCKER | set(SERVICES)
    assert set(SERVICES[name].get("depends_on", [])) <= known


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one_of_the_program(name: str) -> None:
    command = SERVICES[name]["command"]
    assert all(isinstance(word, str) for word in command)
    assert facts.wrong(" ".join(command)) == []
    # Both variables must be given, else docker says which is not.
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"\$\{CUSTOM_IMAGE:\?[^}]+\}:\$\{CUSTOM_TAG:\?[^}]+\}", image)
    # Relative to the folder in which the image starts it, where the sites are mounted.
    assert value_of(name, "--sites-path") == "sites"
    assert SERVICES[name]["volumes"] == [f"sites:{BENCH}/sites"]
    assert f"WORKDIR {BENCH}\n" in (FOLDER / "Containerfile").read_text()


def test_whoever_asks_the_sidecar_asks_where_it_listens() -> None:
    address, port = value_of("memora-srs", "--bind").split(":")
    assert address == "0.0.0.0", "nginx is in another container"  # noqa: S104
    assert SERVICES["frontend"]["environment"]["MEMORA_SRS"] == f"memora-srs:{port}"
    [kind, shell, option, script] = SERVICES["memora-srs"]["healthcheck"]["test"]
    assert (kind, shell, option) == ("CMD", "bash", "-c")
    assert f"/dev/tcp/127.0.0.1/{port} " in script
    subprocess.run(["bash", "-n", "-c", script], check=True)  # noqa: S607
    limits = SERVICES["memora-srs"]["ulimits"]["nofile"]
    assert limits["soft"] == limits["hard"] >= 16384, "connections are open files"


def test_the_image_has_what_the_services_start() -> None:
    containerfile = (FOLDER / "Containerfile").read_text()
    copied = re.findall(r"^COPY .*?(\S+)$", containerfile, re.MULTILINE)
    for service in SERVICES.values():
        program = service["command"][0]
        assert f"/usr/local/bin/{program}" in copied
    for source in re.findall(r"deploy/\S+", containerfile):
        assert (ROOT / source).is_file(), source
    subprocess.run(["bash", "-n", FOLDER / "frontend.sh"], check=True)  # noqa: S607
