"""deploy/compose.yaml and deploy/kubernetes/: pinned, and every file that they name is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def test_it_is_a_server_prometheus_and_grafana():
    assert set(services()) == {"server", "prometheus", "grafana"}


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_foreign_images_are_pinned_by_version_and_digest(service: str):
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", services()[service]["image"])


def test_the_server_is_built_from_the_cpu_images_default_target():
    build = services()["server"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert build["target"] == "server"


def test_every_mounted_file_exists_and_is_read_only():
    volumes = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["volumes"]
    for service in services().values():
        for volume in service["volumes"]:
            source, target, *mode = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":")
            if source in volumes:
                continue
            assert mode == ["ro"], volume
            assert target == "/models" or (DEPLOY / source).is_dir(), volume


def test_prometheus_scrapes_the_service_that_compose_starts():
    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    ((target,),) = [config["targets"] for config in job["static_configs"]]
    host, port = target.split(":")
    assert f"{port}:{port}" in services()[host]["ports"]
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert services()["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]


def test_a_stop_leaves_time_to_drain():
    # serve-model drains for 30 seconds by default.
    assert int(services()["server"]["stop_grace_period"].removesuffix("s")) > 30
    deployment, _ = yaml.safe_load_all((DEPLOY / "kubernetes" / "kedge.yaml").read_text())
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30


def test_kubernetes_asks_the_right_page_the_right_question():
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes" / "kedge.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert named == {port["name"]: port["port"] for port in service["spec"]["ports"]} == {"grpc": 8500, "http": 8501}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
