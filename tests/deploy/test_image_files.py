"""The Dockerfiles, read as text: what `scripts/test_images.sh` builds for real, this keeps true in seconds."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile.cpu", "Dockerfile.gpu")
TARGETS = {
    "Dockerfile.cpu": {"server": "server.lock", "exporter": "exporter.lock"},
    "Dockerfile.gpu": {"server": "server-gpu.lock", "server-tensorflow": "server-tensorflow-gpu.lock"},
}


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order, continued lines joined, comments gone."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def stages(name: str) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """stage -> its base, its instructions."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for word, rest in instructions(name):
        if word == "FROM":
            base, _, stage = rest.partition(" AS ")
            found[stage] = (base, current := [])
        elif found:
            current.append((word, rest))
    return found


def lineage(name: str, target: str) -> list[tuple[str, str]]:
    """The instructions of a target and of the stages that it is made from, in order."""
    base, own = stages(name)[target]
    return [*(lineage(name, base) if base in stages(name) else []), *own]


def last(name: str, target: str, word: str) -> str:
    """The instruction that is in force in a target."""
    return [rest for one, rest in lineage(name, target) if one == word][-1]


def every_target() -> list[tuple[str, str]]:
    return [(name, target) for name in FILES for target in TARGETS[name]]


@pytest.mark.parametrize("name", FILES)
def test_the_server_is_the_default_target(name: str):
    assert [*stages(name)][-1] == "server"
    assert set(TARGETS[name]) <= set(stages(name))


def test_the_base_is_pinned_by_tag_and_digest_and_is_the_same_everywhere():
    bases = {rest for name in FILES for word, rest in instructions(name) if word == "ARG" and rest.startswith("BASE=")}
    assert len(bases) == 1
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", bases.pop())
    for name in FILES:
        outside = {base for base, _ in stages(name).values()} - set(stages(name))
        assert outside == {"${BASE}"}


@pytest.mark.parametrize(("name", "target"), every_target())
def test_a_target_runs_one_command_as_nobody_special(name: str, target: str):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(name, target, "USER"))
    command = last(name, target, "ENTRYPOINT")
    assert command == ('["export-model"]' if target == "exporter" else '["serve-model"]')


@pytest.mark.parametrize(("name", "target"), [each for each in every_target() if each[1] != "exporter"])
def test_a_server_tells_its_ports_its_signal_and_its_health(name: str, target: str):
    assert last(name, target, "EXPOSE") == "8500 8501"
    assert last(name, target, "STOPSIGNAL") == "SIGTERM"
    assert last(name, target, "CMD") == '["/models"]'
    health = last(name, target, "HEALTHCHECK")
    assert health.endswith('CMD ["python3", "-I", "/opt/healthcheck.py", "/healthz"]')
    assert ("COPY", "deploy/images/healthcheck.py /opt/healthcheck.py") in lineage(name, target)


@pytest.mark.parametrize(("name", "target"), every_target())
def test_a_target_holds_what_its_lock_says(name: str, target: str):
    (copied,) = [rest for word, rest in lineage(name, target) if word == "COPY" and rest.startswith("--from=")]
    stage = copied.removeprefix("--from=").split()[0]
    installed = [rest.split("./install ")[1] for word, rest in stages(name)[stage][1] if word == "RUN"]
    assert installed == [f"/opt/kedge {TARGETS[name][target]}", "/opt/kedge dist/*.whl"]


@pytest.mark.parametrize(
    "lock", ["uv.lock", "build.lock", *(lock for name in FILES for lock in TARGETS[name].values())]
)
def test_every_package_of_a_lock_is_exact_and_hashed(lock: str):
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "requirements" / lock).read_text(), flags=re.MULTILINE)
    packages = re.sub(r"\\\n\s*", "", text).splitlines()
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9.\-]+(\[[a-z,]+\])?==\S+ ", package), package
        assert "--hash=sha256:" in package, package


def test_a_gpu_image_never_falls_back_to_the_cpu_in_silence():
    for target, served in {"server": "onnx", "server-tensorflow": "saved_model"}.items():
        environment = " ".join(rest for word, rest in lineage("Dockerfile.gpu", target) if word == "ENV")
        assert "KEDGE_DEVICE=gpu" in environment
        assert f"KEDGE_FORMAT={served}" in environment
        assert "NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility" in environment


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_gets_past_dockerignore(name: str):
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = {
        source
        for word, rest in instructions(name)
        if word == "COPY" and not rest.startswith("--from=")
        for source in rest.split()[:-1]
    }
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, f"{entry}*") for entry in allowed), source


def test_versions_that_are_written_twice_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = [line for line in (ROOT / "requirements" / "build.in").read_text().splitlines() if line[0] != "#"]
    assert build == project["build-system"]["requires"]
    for name in FILES:
        assert ("ARG", f"VERSION={project['project']['version']}") in instructions(name)
