"""The rules, read and exercised by Prometheus's own promtool."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.prometheus import CONFIGURATION

EXAMPLES = Path(__file__).with_name("rules.test.yml")


def promtool(programs: Path, *arguments: str | Path) -> str:
    done = subprocess.run([programs / "promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_and_every_rule_are_valid(prometheus_programs: Path):
    said = promtool(prometheus_programs, "check", "config", CONFIGURATION / "prometheus.yml")
    assert "2 rule files found" in said
    for name in ("recording.yml", "alerts.yml"):
        assert f"{name}\n  SUCCESS" in said


def test_the_rules_record_and_alert_as_the_examples_say(prometheus_programs: Path):
    assert "SUCCESS" in promtool(prometheus_programs, "test", "rules", EXAMPLES)


def test_every_alert_has_an_example():
    alerts = [line.split(": ")[1] for line in (CONFIGURATION / "rules" / "alerts.yml").read_text().splitlines()
              if line.strip().startswith("- alert: ")]  # fmt: skip
    examples = EXAMPLES.read_text()
    assert alerts
    missing = [alert for alert in alerts if f"alertname: {alert}" not in examples]
    if missing:
        pytest.fail(f"no example in {EXAMPLES.name} for {', '.join(missing)}")
